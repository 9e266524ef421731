import { type Html, html } from "../artifact/pages/html.ts";
import { htmlPage } from "../artifact/pages/page.ts";
import { formatPercent, isFigures } from "../format.ts";
import type { Evaluation } from "./evaluation.ts";
import { type Labeller, labeller, probeTitle, spreadText, type Table } from "./tables.ts";

/** Confusion matrices of more classes than this are left to the JSON. */
const mostClasses = 30;

/** An evaluation as one HTML file: its tables, accuracy by class, and confusion matrices of few classes. */
export function evaluationHtml(
  tables: readonly Table[],
  results: readonly Evaluation[],
  classes: readonly string[],
): string {
  const labelOf = labeller(results);
  return htmlPage(
    "Evaluation",
    html`<h1>Evaluation on ${results[0]?.data ?? "a data set"}</h1>
${tables.map(tableHtml)}
${results.map((result) => detailsHtml(result, labelOf, classes))}`,
  );
}

function tableHtml({ title, head, rows, notes }: Table): Html {
  const classes = head.map((_, c) => (isFigures(rows.map((row) => row[c])) ? "number" : ""));
  return html`<h2>${title}</h2>
<div class="scroll"><table>
<thead><tr>${head.map((name, c) => html`<th class="${classes[c]}">${name}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => html`<tr>${row.map((cell, c) => html`<td class="${classes[c]}">${cell}</td>`)}</tr>\n`)}</tbody>
</table></div>
${notes.map((note) => html`<p class="small soft">${note}</p>\n`)}`;
}

function detailsHtml(evaluation: Evaluation, labelOf: Labeller, classes: readonly string[]): Html {
  const { encoder, probes } = evaluation;
  return html`${probes.map(
    (result) => html`<details>
<summary>${labelOf(evaluation)} on ${encoder}: ${probeTitle(result)}, ${spreadText(result.top1)} %, by class</summary>
<div class="scroll"><table>
<thead><tr><th>Class</th><th class="number">Accuracy</th>${
      classes.length <= mostClasses ? html`<th>Taken for (test images, all seeds)</th>` : undefined
    }</tr></thead>
<tbody>
${classes.map(
  (name, c) =>
    html`<tr><td>${name}</td><td class="number">${
      result.perClass[c] == null ? "–" : formatPercent(result.perClass[c])
    }</td>${
      classes.length <= mostClasses
        ? html`<td>${takenFor(result.confusion[c] ?? [], classes)}</td>`
        : undefined
    }</tr>\n`,
)}</tbody>
</table></div>
</details>\n`,
  )}`;
}

/** "cat 12, dog 3", most first. */
function takenFor(row: readonly number[], classes: readonly string[]): string {
  return row
    .map((count, c) => ({ count, name: classes[c] ?? String(c) }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count)
    .map(({ count, name }) => `${name} ${count}`)
    .join(", ");
}
