/** Rows as comma-separated values (RFC 4180), with a newline behind each. */
export function csv(rows: readonly (readonly (string | number | boolean | undefined)[])[]): string {
  return rows.map((row) => `${row.map((value) => field(String(value ?? ""))).join(",")}\n`).join("");
}

const field = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
