import { type Html, html, trusted } from "./html.ts";
import { style } from "./style.ts";

/**
 * A page as one HTML file: no script, nothing fetched, light or dark.
 * @param main what is between its head and its end
 * @param ownStyle CSS beside that of all pages
 */
export function htmlPage(title: string | Html, main: Html, ownStyle = ""): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${trusted(style)}${trusted(ownStyle)}</style>
</head>
<body>
<main>
${main}
</main>
</body>
</html>
`.html;
}
