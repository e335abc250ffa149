import { createRequire } from "node:module";
import { join } from "node:path";
import { UserError } from "../errors.js";
import type { Figure } from "./canvas.js";

/** Characters that DejaVu Sans lacks: East Asian scripts and pictures. */
const BEYOND_DEJAVU = /[\u1100-\u11ff\u2e80-\uffef\u{1f000}-\u{3fffd}]/u;

/**
 * Writes `<name>.svg` and `<name>.png` (two pixels per unit) of each figure.
 * `writeFile` does the writing, so that the caller decides how (the lab writes atomically).
 * @returns the paths written.
 * @throws UserError when a figure's name is not a plain file stem, before anything is written.
 */
export async function writeFigures(
  figures: Figure[],
  folder: string,
  writeFile: (path: string, content: string | Uint8Array) => Promise<void> | void,
): Promise<string[]> {
  for (const { name } of figures) {
    if (!/^[a-z0-9][\w.-]*$/i.test(name))
      throw new UserError(`the figure name ${JSON.stringify(name)} is not a file name`, {
        hint: "use letters, digits, - and _",
      });
  }
  const paths: string[] = [];
  for (const figure of figures) {
    const stem = join(folder, figure.name);
    await writeFile(`${stem}.svg`, `<?xml version="1.0" encoding="UTF-8"?>\n${figure.svg}\n`);
    await writeFile(`${stem}.png`, await toPng(figure.svg));
    paths.push(`${stem}.svg`, `${stem}.png`);
  }
  return paths;
}

/** The picture as a PNG. The fonts come with the package, so that a machine without fonts draws the same text. */
export async function toPng(svg: string, scale = 2): Promise<Uint8Array> {
  const { Resvg } = await import("@resvg/resvg-js");
  const resolve = createRequire(import.meta.url).resolve;
  const fontFiles = ["DejaVuSans", "DejaVuSans-Bold"].map((font) =>
    resolve(`dejavu-fonts-ttf/ttf/${font}.ttf`),
  );
  const picture = new Resvg(svg, {
    fitTo: { mode: "zoom", value: scale },
    font: { loadSystemFonts: BEYOND_DEJAVU.test(svg), fontFiles, defaultFontFamily: "DejaVu Sans" },
  });
  return picture.render().asPng();
}
