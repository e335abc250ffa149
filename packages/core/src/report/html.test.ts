import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { JSDOM } from "jsdom";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exampleFigures, exampleReport } from "./example.js";
import { type Report, renderReport } from "./html.js";

const HOSTILE = `</style></pre><script>alert(1)</script><img src=x onerror="alert(2)">'"&`;

const hostileReport: Report = {
  title: HOSTILE,
  lead: HOSTILE,
  facts: [{ label: HOSTILE, value: HOSTILE }],
  tables: [
    { title: HOSTILE, caption: HOSTILE, columns: [{ name: HOSTILE }], rows: [[HOSTILE], [null], [-0.5]] },
  ],
  figures: [{ name: "foreign", title: HOSTILE, caption: HOSTILE, svg: `<svg>${HOSTILE}</svg>` }],
  notes: [HOSTILE],
  configuration: { [HOSTILE]: HOSTILE },
  environment: { [HOSTILE]: HOSTILE },
};

describe("hostile text in a report", () => {
  const html = renderReport(hostileReport);
  const { document } = new JSDOM(html).window;

  it("adds no element and ends none", () => {
    expect(html).not.toContain("<script");
    expect(html.match(/<\/style>/g)).toHaveLength(1);
    expect(document.querySelectorAll("script, [onerror], img:not([src^='data:'])")).toHaveLength(0);
  });

  it("is shown as it was given", () => {
    expect(document.title).toBe(HOSTILE);
    for (const place of ["h1", ".lead", "dd", "h3", "thead th", "tbody th", "figcaption p", ".notes li"])
      expect(document.querySelector(place)!.textContent, place).toBe(HOSTILE);
    expect(JSON.parse(document.querySelector("pre")!.textContent!)).toEqual({ [HOSTILE]: HOSTILE });
  });

  it("turns an SVG that is not ours into an image, which can't run code", () => {
    expect(document.querySelector("figure img")!.getAttribute("src")).toMatch(
      /^data:image\/svg\+xml;base64,/,
    );
    expect(document.querySelector("figure svg")).toBeNull();
  });
});

it("a report forbids itself the network and scripts", () => {
  const { document } = new JSDOM(renderReport(hostileReport)).window;
  const policy = document
    .querySelector('meta[http-equiv="Content-Security-Policy"]')!
    .getAttribute("content");
  expect(policy).toBe("default-src 'none'; style-src 'unsafe-inline'; img-src data:");
});

it("an empty report leaves out empty sections", () => {
  const empty = { ...hostileReport, facts: [], tables: [], figures: [], notes: [], configuration: undefined };
  const { document } = new JSDOM(renderReport(empty)).window;
  expect([...document.querySelectorAll("h2")].map((title) => title.textContent)).toEqual(["To repeat this"]);
});

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  existsSync,
);
if (!executablePath) console.warn("skipped: no Chromium here to open reports in");

describe.skipIf(!executablePath)("a report in Chromium", () => {
  let folder: string;
  let browser: Awaited<ReturnType<typeof chromium.launch>>;
  const pages: Record<string, string> = {};

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-report-"));
    for (const [name, report] of Object.entries({
      example: exampleReport(await exampleFigures()),
      hostile: hostileReport,
    })) {
      const path = join(folder, `${name}.html`);
      await writeFile(path, renderReport(report));
      pages[name] = pathToFileURL(path).href;
    }
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });

  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  for (const colorScheme of ["light", "dark"] as const)
    for (const width of [380, 1280])
      it(`opens without errors or requests, ${colorScheme}, ${width} px, and does not scroll sideways`, async () => {
        const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
        for (const url of Object.values(pages)) {
          const page = await context.newPage();
          const seen: string[] = [];
          page.on("console", (message) => seen.push(message.text()));
          page.on("pageerror", (error) => seen.push(error.message));
          page.on("request", (request) => {
            if (request.url() !== url && !request.url().startsWith("data:")) seen.push(request.url());
          });
          page.on("dialog", (dialog) => {
            seen.push("dialog");
            void dialog.dismiss();
          });
          await page.goto(url);
          expect(seen).toEqual([]);
          expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        }
        await context.close();
      });

  it("shows each figure in one layout at a time, its colours those of the scheme", async () => {
    for (const [colorScheme, ink] of [
      ["light", "rgb(27, 31, 36)"],
      ["dark", "rgb(232, 234, 237)"],
    ] as const) {
      const page = await browser.newPage({ colorScheme, viewport: { width: 380, height: 800 } });
      await page.goto(pages.example);
      const shown = await page.evaluate(() =>
        [...document.querySelectorAll("figure")].map((figure) => {
          const visible = [...figure.querySelectorAll("svg")].filter((svg) => svg.clientWidth > 0);
          const text = visible[0].querySelector('[aria-label="text"], text')!;
          return [visible.length, visible[0].clientWidth <= 380, getComputedStyle(text).fill];
        }),
      );
      expect(shown).toHaveLength(5);
      for (const [layouts, fits] of shown) expect([layouts, fits]).toEqual([1, true]);
      expect(shown.map(([, , fill]) => fill)).toContain(ink);
      await page.close();
    }
  });
});
