import { methods } from "outgrow";

/** `outgrow methods` */
export function listMethods({ json }: { json?: boolean }): void {
  if (json) {
    console.log(JSON.stringify(methods.map(({ name, summary, source }) => ({ name, summary, source }))));
    return;
  }
  const width = Math.max(...methods.map(({ name }) => name.length));
  for (const { name, summary, source } of methods)
    console.log(`${name.padEnd(width)}  ${summary} (${source})`);
}
