import type { Figure } from "./canvas.js";
import { REPORT_STYLE } from "./html-style.js";
import { type Cell, formatCell, type ReportTable } from "./table.js";
import { escapeHtml, plainText } from "./text.js";

/** What a run, a study or a comparison ends in. */
export interface Report {
  title: string;
  /** One or two sentences: what a colleague reads first. */
  lead: string;
  /** The few numbers and names that place the result. */
  facts: { label: string; value: string | number }[];
  tables: ReportTable[];
  figures: Figure[];
  /** Sentences on what to keep in mind, one paragraph each. */
  notes: string[];
  /** Everything that was set; shown as JSON. */
  configuration: unknown;
  /** Seed, versions, machine: what is needed to repeat the result. */
  environment: Record<string, string>;
}

/** A part of a report that another can be added to. */
export type ReportSection = Pick<Report, "tables" | "figures" | "notes">;

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** The report as one HTML page that loads nothing and runs nothing. Every text in it is escaped. */
export function renderReport(report: Report): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Outgrow">
<link rel="icon" href="data:,">
<title>${text(report.title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<div class="page">
<header>
<h1>${text(report.title)}</h1>
<p class="lead">${text(report.lead)}</p>
${facts(report.facts)}
</header>
<main>
${section("Results", report.tables.map(table))}
${section("Figures", report.figures.map(figure), "figures")}
${section("Notes", report.notes.length > 0 ? [notes(report.notes)] : [])}
${section("To repeat this", [environment(report.environment), configuration(report.configuration)])}
</main>
<footer>Written by Outgrow.</footer>
</div>
</body>
</html>
`;
}

function section(title: string, parts: string[], className = ""): string {
  if (parts.length === 0) return "";
  const id = title.toLowerCase().replaceAll(" ", "-");
  const body =
    className === "" ? parts.join("\n") : `<div class="${className}">\n${parts.join("\n")}\n</div>`;
  return `<section aria-labelledby="${id}">\n<h2 id="${id}">${title}</h2>\n${body}\n</section>`;
}

function facts(entries: Report["facts"]): string {
  if (entries.length === 0) return "";
  const items = entries.map(
    ({ label, value }) => `<div><dt>${text(label)}</dt><dd>${text(formatCell(value))}</dd></div>`,
  );
  return `<dl class="facts">${items.join("")}</dl>`;
}

function table({ title, caption, columns, rows }: ReportTable): string {
  const side = (index: number) => (columns[index]?.align === "right" ? ' class="right"' : "");
  const head = columns.map(({ name }, index) => `<th scope="col"${side(index)}>${text(name)}</th>`);
  const cell = (value: Cell, index: number) =>
    index === 0
      ? `<th scope="row"${side(index)}>${content(value)}</th>`
      : `<td${side(index)}>${content(value)}</td>`;
  return `<div class="card">
<h3>${text(title)}</h3>
${caption ? `<p class="caption">${text(caption)}</p>` : ""}
<div class="scroll" role="region" tabindex="0" aria-label="${text(title)}"><table>
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")}
</tbody>
</table></div>
</div>`;
}

function content(cell: Cell): string {
  const shown = text(formatCell(cell));
  if (cell === null || typeof cell !== "object") return shown;
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(cell.href))
    throw new TypeError(`"${cell.href}" is not a page of the folder.`);
  return `<a href="${cell.href}">${shown}</a>`;
}

function figure(each: Figure): string {
  return `<figure class="card">
<h3>${text(each.title)}</h3>
${picture(each)}
<figcaption><p>${text(each.caption)}</p></figcaption>
</figure>`;
}

/** Our own drawings go inline, where they follow the colour scheme; any other SVG becomes an image, which can't run code. */
function picture({ svg, inline, inlineCompact, title, caption }: Figure): string {
  if (inline === undefined) {
    const source = `data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`;
    return `<img class="wide" src="${source}" alt="${text(`${title}. ${caption}`)}">`;
  }
  const wide = `<div class="wide${inlineCompact ? " has-compact" : ""}">${inline}</div>`;
  return inlineCompact ? `${wide}\n<div class="compact">${inlineCompact}</div>` : wide;
}

function notes(entries: string[]): string {
  return `<ul class="notes">${entries.map((entry) => `<li>${text(entry)}</li>`).join("")}</ul>`;
}

function environment(entries: Report["environment"]): string {
  const items = Object.entries(entries).map(
    ([name, value]) => `<dt>${text(name)}</dt><dd>${text(value)}</dd>`,
  );
  return `<details open><summary>Seed, versions and machine</summary><dl class="environment">${items.join("")}</dl></details>`;
}

function configuration(value: unknown): string {
  const json = JSON.stringify(value, null, 2) ?? "null";
  return `<details><summary>Configuration</summary><pre>${escapeHtml(json)}</pre></details>`;
}

function text(value: string): string {
  return escapeHtml(plainText(value));
}
