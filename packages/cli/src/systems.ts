import { studies } from "@outgrow/systems";
import { families } from "outgrow";

/** `outgrow systems` */
export function listSystems({ json }: { json?: boolean }): void {
  if (json) {
    const listed = studies.map(({ name, title, family, summary, paper, seeds, claims, controls }) => ({
      name,
      title,
      family,
      summary,
      paper,
      seeds,
      claims: claims.map(({ id, statement }) => ({ id, statement })),
      controls: controls.map(({ id, statement }) => ({ id, statement })),
    }));
    console.log(JSON.stringify(listed));
    return;
  }
  const width = Math.max(...studies.map(({ name }) => name.length));
  for (const family of families) {
    const own = studies.filter((study) => study.family === family);
    if (own.length === 0) continue;
    console.log(`${family}`);
    for (const { name, title, paper, claims } of own) {
      console.log(
        `  ${name.padEnd(width)}  ${title} (${paper.authors} ${paper.year}), ${claims.length} claims`,
      );
    }
  }
  console.log("\noutgrow reproduce NAME tests the claims of one; outgrow systems --json lists them.");
}
