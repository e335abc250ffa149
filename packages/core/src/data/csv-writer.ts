/**
 * Rows as CSV (RFC 4180, lines end with CRLF). Numbers and booleans are written as text, null and undefined
 * as empty fields, lists and objects as JSON. Fields are quoted where they must be; `readTable` gives back
 * the same text.
 */
export function formatCsv(rows: readonly (readonly unknown[])[]): string {
  return rows.map((row) => `${formatRow(row)}\r\n`).join("");
}

function formatRow(row: readonly unknown[]): string {
  const fields = row.map(formatField);
  // A single empty field would be a blank line.
  return fields.length === 1 && fields[0] === "" ? '""' : fields.join(",");
}

function formatField(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // An unquoted U+FEFF at the start of a file is a byte order mark.
  return /[",\r\n\uFEFF]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
