import { DARK, LIGHT, themeVariables } from "./theme.js";

const DARK_PAGE = `--page: #0f1114; --line: #343a42; --link: #7db7ee; --code: #1d2126; ${themeVariables(DARK)}`;
const LIGHT_PAGE = `--page: #f6f7f9; --line: #d8dee4; --link: #0b5cad; --code: #f1f3f5; ${themeVariables(LIGHT)}`;

/** The style of a report: both colour schemes, a phone's width, and paper. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; ${LIGHT_PAGE} }
@media (prefers-color-scheme: dark) { :root { ${DARK_PAGE} } }
@media print { :root { color-scheme: light; ${LIGHT_PAGE} --page: #ffffff; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--fig-ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.page { max-width: 1240px; margin: 0 auto; padding: 40px 32px 64px; }
h1 { font-size: clamp(1.6rem, 4vw, 2.2rem); line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 12px; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 48px 0 16px; letter-spacing: -0.005em; }
h3 { font-size: 1rem; margin: 0 0 12px; line-height: 1.35; }
.lead { font-size: 1.15rem; max-width: 62ch; margin: 0; text-wrap: pretty; }
.facts { display: flex; flex-wrap: wrap; gap: 12px 36px; margin: 24px 0 0; padding: 16px 0; border: solid var(--line); border-width: 1px 0; }
.facts div { min-width: 0; }
.facts dt, .caption, figcaption p, footer { color: var(--fig-muted); font-size: 0.875rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.card { background: var(--fig-paper); border: 1px solid var(--line); border-radius: 10px; padding: 20px; margin: 0; min-width: 0; }
.card + .card { margin-top: 20px; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.925rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 7px 14px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: baseline; max-width: 32em; }
tr > :first-child { padding-left: 0; }
tr > :last-child { padding-right: 0; }
thead th { color: var(--fig-muted); font-weight: 600; font-size: 0.85rem; border-bottom-color: var(--fig-grey); vertical-align: bottom; }
tbody th { font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
.right { text-align: right; }
td.right { white-space: nowrap; }
.caption { margin: 0 0 12px; max-width: 75ch; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr)); gap: 20px; align-items: start; }
.figures .card { margin: 0; break-inside: avoid; }
figcaption p { margin: 12px 0 0; max-width: 75ch; }
figure svg, figure img { display: block; width: 100%; height: auto; margin: 0 auto; color: var(--fig-ink); }
figure .wide { max-width: 640px; }
figure .compact { display: none; max-width: 400px; }
.notes { padding-left: 1.2em; max-width: 75ch; }
.notes li + li { margin-top: 6px; }
details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: 12px 0; font-weight: 600; }
pre { background: var(--code); border-radius: 8px; padding: 16px; margin: 0 0 16px; overflow-x: auto; white-space: pre-wrap;
  font: 0.84rem/1.5 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.environment { display: grid; grid-template-columns: minmax(min-content, auto) 1fr; gap: 4px 24px; margin: 0 0 16px; font-size: 0.925rem; }
.environment dt { color: var(--fig-muted); }
.environment dd { margin: 0; font-variant-numeric: tabular-nums; }
footer { margin-top: 48px; }
@media (max-width: 600px) {
  .page { padding: 24px 16px 40px; }
  .card { padding: 14px 12px; border-radius: 8px; }
  .facts { gap: 10px 28px; }
  figure .has-compact { display: none; }
  figure .compact { display: block; }
}
@media print {
  body { font-size: 11pt; }
  .page { max-width: none; padding: 0; }
  .card { border: 0; padding: 0; break-inside: avoid; }
  .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; }
  pre { background: none; border: 1px solid var(--line); }
}
`;
