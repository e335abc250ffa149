import { expect, it } from "vitest";
import { exampleFigures } from "./example.js";
import { toPng, writeFigures } from "./figure-files.js";

/** Width and height from the header of a PNG. */
function dimensions(png: Uint8Array): number[] {
  const view = new DataView(png.buffer, png.byteOffset);
  return [view.getUint32(16), view.getUint32(20)];
}

it("writes an SVG file and a PNG of twice its size for each figure", async () => {
  const figures = await exampleFigures();
  const files = new Map<string, string | Uint8Array>();
  const paths = await writeFigures(figures, "out", (path, content) => void files.set(path, content));
  expect(paths).toEqual([...files.keys()]);
  expect(paths).toContain("out/pgr-by-method.png");
  for (const { name, svg } of figures) {
    const [width, height] = svg
      .match(/<svg [^>]*?width="(\d+)" height="(\d+)"/)!
      .slice(1)
      .map(Number);
    expect(files.get(`out/${name}.svg`)).toContain(svg);
    expect(dimensions(files.get(`out/${name}.png`) as Uint8Array)).toEqual([2 * width, 2 * height]);
  }
});

it("draws text with the fonts of the package, without any of the system", async () => {
  const picture = (text: string) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="80" height="30"><text x="5" y="20" font-family="no such font">${text}</text></svg>`;
  const [blank, words, others] = await Promise.all(
    ["", "PGR → 1", "PGR → 2"].map((text) => toPng(picture(text))),
  );
  expect(words).not.toEqual(blank);
  expect(words).not.toEqual(others);
});

it("refuses names that would leave the folder, before writing", async () => {
  const [figure] = await exampleFigures();
  for (const name of ["../escape", "a/b", "", ".hidden", "a\0b"]) {
    const written: string[] = [];
    const writing = writeFigures([figure, { ...figure, name }], "out", (path) => void written.push(path));
    await expect(writing).rejects.toThrow("is not a file name");
    expect(written).toEqual([]);
  }
});
