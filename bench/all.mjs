// npm run bench [-- NAME ...]: every bench (or those named), one after another, into RESULTS.md.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { writeFileAtomic } from "outgrow";
import { machine, tableOf } from "./harness.mjs";

const here = import.meta.dirname;
const known = readdirSync(here)
  .filter(
    (file) =>
      file.endsWith(".mjs") && !["all.mjs", "harness.mjs", "empty-process.mjs", "english.mjs"].includes(file),
  )
  .map((file) => basename(file, ".mjs"));
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`There is no bench "${unknown}". There are: ${known.join(", ")}.`);
  process.exit(2);
}

const results = join(here, "RESULTS.md");
/** The sections of the last results by bench, so that a run of some leaves the others as they are. */
function sections() {
  let text = "";
  try {
    text = readFileSync(results, "utf8");
  } catch {}
  return new Map(
    text
      .split(/^(?=## )/m)
      .slice(1)
      .map((section) => [/^## (.*)$/m.exec(section)[1], section.trimEnd()]),
  );
}

let failed = false;
for (const name of wanted.length > 0 ? wanted : known) {
  console.error(`${name} ...`);
  const { status, stdout } = spawnSync(process.execPath, [join(here, `${name}.mjs`), "--json"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 26,
  });
  const figures = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  if (status !== 0 || figures.length === 0) {
    console.error(`${name} failed with exit code ${status}; its section in RESULTS.md is left as it was.`);
    failed = true;
    continue;
  }
  const table = tableOf(figures);
  console.log(`\n${name}\n\n${table}\n`);
  const date = new Date().toISOString().slice(0, 10);
  const all = sections().set(name, `## ${name}\n${date}, ${machine()}\n\n${table}`);
  const intro =
    "# Results of the benches\nOurs and its peer in turns, in one run of `npm run bench`; medians. A ratio above 1 is in our favour.";
  await writeFileAtomic(results, `${[intro, ...[...all.values()].sort()].join("\n\n")}\n`);
}
process.exit(failed ? 1 : 0);
