import { type Html, html, trusted } from "../artifact/pages/html.ts";
import { htmlPage } from "../artifact/pages/page.ts";
import { formatCount, formatPercent } from "../format.ts";
import {
  type ConfusionCell,
  mostMatrixClasses,
  perGroup,
  pictureKey,
  shownDuplicates,
  shownFindings,
} from "./check-pictures.ts";
import { checkStyle } from "./check-style.ts";
import type { CheckedImage, DataCheck, DuplicatePair } from "./data-check.ts";

/** What a page shows beside the findings. */
export interface CheckPageContent {
  readonly cells: readonly ConfusionCell[];
  /** Data URIs by `pictureKey`; an image without one is shown as its name alone. */
  readonly thumbnails: ReadonlyMap<string, string>;
}

/** The findings on a data set as one HTML file: no script, nothing fetched, light or dark. Every name is escaped. */
export function checkHtml(found: DataCheck, content: CheckPageContent): string {
  const images = found.classes.reduce((sum, { train }) => sum + train, 0);
  return htmlPage(
    `${found.data}: check`,
    html`<h1>${formatPercent(found.accuracy)} of ${found.data}’s ${formatCount(images)} training images get their own label from a probe of all others</h1>
<p class="soft">Ridge probe on frozen features of ${found.encoder}, leave-one-out, λ = ${found.lambda}.${
      found.testAccuracy === undefined
        ? ""
        : ` The probe of all training images classifies ${formatPercent(found.testAccuracy)} of the test images correctly.`
    }</p>
${overview(found)}
${suspectsSection(found, content)}
${duplicatesSection(found, content)}
${outliersSection(found, content)}
${classesSection(found)}
${content.cells.length === 0 ? undefined : found.classes.length <= mostMatrixClasses ? matrixSection(found, content) : confusionsSection(found, content)}
${confusedSection(found)}
<footer><p class="small soft">Findings are hints: look at the images before anything is changed. All of them, not only those shown here, come with <code>clp-dd check --csv</code> and <code>--json</code>.</p></footer>`,
    checkStyle,
  );
}

function overview({ suspects, duplicates, outliers, confused }: DataCheck): Html {
  const leaks = duplicates.filter(({ leak }) => leak).length;
  const tile = (id: string, count: number, what: string, more?: string) =>
    html`<a href="#${id}"><b>${formatCount(count)}</b> <span>${what}${count === 1 ? "" : "s"}</span>${
      more === undefined ? undefined : html` <small>${more}</small>`
    }</a>\n`;
  return html`<nav class="tiles">
${tile("labels", suspects.length, "suspected label", `${formatCount(suspects.filter(({ confident }) => confident).length)} with confidence`)}${tile(
  "duplicates",
  duplicates.length,
  "near-duplicate pair",
  `${formatCount(leaks)} across train and test`,
)}${tile("outliers", outliers.length, "outlier")}${tile("confused", confused.length, "pair", "of classes not told apart")}</nav>`;
}

/** An image, or its name where it could not be read or the page has no more room. */
function picture(image: CheckedImage, { thumbnails }: CheckPageContent): Html {
  const uri = thumbnails.get(pictureKey(image));
  return uri === undefined
    ? html`<span class="thumb none" title="${image.image}">no picture</span>`
    : html`<img class="thumb" src="${uri}" alt="${image.image}" title="${image.image}">`;
}

function section(id: string, title: string, count: number, shown: number, text: string, body: Html): Html {
  return html`<section id="${id}">
<h2>${title}</h2>
${count === 0 ? html`<p>None.</p>` : html`<p class="small soft">${text}${shown < count ? ` The first ${formatCount(shown)} of ${formatCount(count)}.` : ""}</p>\n${body}`}
</section>`;
}

function suspectsSection({ suspects }: DataCheck, content: CheckPageContent): Html {
  const shown = suspects.slice(0, shownFindings.suspects);
  return section(
    "labels",
    "Labels that look wrong",
    suspects.length,
    shown.length,
    "The probe of all other images prefers another class, the surest first. Marked: with confidence, that is at least as sure as for the average image labeled with that class.",
    html`<div class="findings">
${shown.map(
  (
    s,
  ) => html`<figure${s.confident ? trusted(' class="sure"') : undefined}>${picture(s, content)}<figcaption><s>${s.class}</s> <span class="soft">${formatPercent(
    s.labelProbability,
    0,
  )}</span><br>→ ${s.suggested} <span class="soft">${formatPercent(s.suggestedProbability, 0)}</span><br><small class="soft">${s.image}</small></figcaption></figure>
`,
)}</div>`,
  );
}

/** How alike two images are, by what found them. */
function likeness({ similarity, correlation, alignment }: Omit<DuplicatePair, "first" | "second">): Html {
  return correlation === undefined
    ? html`<span class="soft">${similarity.toFixed(3)}</span>`
    : html`<span class="soft">${correlation.toFixed(3)} ${alignment}</span>`;
}

function duplicatesSection({ duplicates }: DataCheck, content: CheckPageContent): Html {
  const { leaks, groups, groupCount } = shownDuplicates(duplicates);
  const all = duplicates.filter(({ leak }) => leak).length;
  const names = (classes: readonly string[]): Html => {
    const different = [...new Set(classes)];
    return different.length === 1
      ? html`${different[0]}`
      : html`${different.map((name, i) => html`${i > 0 ? " / " : ""}<mark>${name}</mark>`)}`;
  };
  return section(
    "duplicates",
    "Nearly the same images",
    all + groupCount,
    leaks.length + groups.length,
    `Images whose features are nearly the same, with their cosine, or whose pictures are, with their correlation. ${
      all > 0 ? "Marked, and first: leaks, one image in train and one in test. " : ""
    }The others in groups.`,
    html`<div class="findings pairs">
${leaks.map(
  ({
    first,
    second,
    ...pair
  }) => html`<figure class="sure"><div class="two">${picture(first, content)}${picture(
    second,
    content,
  )}</div><figcaption>${names([first.class, second.class])} ${likeness(pair)}${[first, second].map((image) => html`<br><small class="soft">${image.split}: ${image.image}</small>`)}</figcaption></figure>
`,
)}${groups.map(({ images, best }) => {
  const shown = images.slice(0, perGroup);
  return html`<figure><div class="${shown.length > 2 ? "four" : "two"}">${shown.map((image) => picture(image, content))}</div><figcaption>${names(
    images.map((image) => image.class),
  )} ${likeness(best)}${
    images.length > 2 ? html` <span class="soft">${formatCount(images.length)} images</span>` : undefined
  }${shown.map((image) => html`<br><small class="soft">${image.image}</small>`)}</figcaption></figure>
`;
})}</div>`,
  );
}

function outliersSection({ outliers }: DataCheck, content: CheckPageContent): Html {
  const shown = outliers.slice(0, shownFindings.outliers);
  return section(
    "outliers",
    "Outliers",
    outliers.length,
    shown.length,
    "Training images unlike all others, the farthest first, with their leverage: how much an image decides its own score, from 0 to 1.",
    html`<div class="findings">
${shown.map(
  (o) => html`<figure>${picture(o, content)}<figcaption>${o.class} <span class="soft">${o.leverage.toFixed(
    3,
  )}</span><br><small class="soft">${o.image}</small></figcaption></figure>
`,
)}</div>`,
  );
}

function classesSection({ classes }: DataCheck): Html {
  const tested = classes.some(({ test }) => test !== undefined);
  const most = Math.max(1, ...classes.map(({ train }) => train));
  return html`<section id="classes">
<h2>Images per class</h2>
<div class="scroll"><table>
<thead><tr><th>Class</th><th class="number">Train</th>${tested ? html`<th class="number">Test</th>` : undefined}<th class="bar"></th><th class="number">Own label, leave-one-out</th><th class="bar"></th></tr></thead>
<tbody>
${classes.map(
  ({ name, train, test, accuracy }) =>
    html`<tr><td>${name}</td><td class="number">${formatCount(train)}</td>${
      tested ? html`<td class="number">${test === undefined ? "–" : formatCount(test)}</td>` : undefined
    }<td class="bar"><div style="width: ${((100 * train) / most).toFixed(1)}%"></div></td><td class="number">${
      accuracy === null ? "–" : formatPercent(accuracy)
    }</td><td class="bar"><div style="width: ${(100 * (accuracy ?? 0)).toFixed(1)}%"></div></td></tr>\n`,
)}</tbody>
</table></div>
</section>`;
}

function matrixSection({ classes, confusion }: DataCheck, content: CheckPageContent): Html {
  const cellOf = new Map(content.cells.map((cell) => [cell.label * classes.length + cell.predicted, cell]));
  return html`<section id="confusion">
<h2>What is taken for what</h2>
<p class="small soft">Rows: the label. Columns: the class that the probe of all other images prefers. Each cell shows the surest of its images and their number.</p>
<div class="scroll"><table class="matrix">
<thead><tr><td></td>${classes.map(({ name }) => html`<th scope="col"><span>${name}</span></th>`)}</tr></thead>
<tbody>
${classes.map(({ name }, label) => {
  const row = confusion[label];
  const all = Math.max(
    1,
    row.reduce((sum, n) => sum + n, 0),
  );
  return html`<tr><th scope="row">${name}</th>${row.map((count, predicted) => {
    const images = cellOf.get(label * classes.length + predicted)?.images ?? [];
    const tint = (8 + (72 * count) / all).toFixed(0);
    return count === 0
      ? html`<td></td>`
      : html`<td class="${label === predicted ? "right" : "wrong"}" style="--tint: ${tint}%" title="${name} → ${classes[predicted].name}"><div>${images.map(
          (image) => picture(image, content),
        )}</div>${formatCount(count)}</td>`;
  })}</tr>
`;
})}</tbody>
</table></div>
</section>`;
}

/** The largest entries of a matrix that is too large to be shown. */
function confusionsSection({ classes }: DataCheck, content: CheckPageContent): Html {
  return html`<section id="confusion">
<h2>What is taken for what</h2>
<p class="small soft">The most frequent confusions of ${formatCount(classes.length)} classes: label → the class that the probe of all other images prefers.</p>
<div class="findings strips">
${content.cells.map(
  ({
    label,
    predicted,
    count,
    images,
  }) => html`<figure><div class="four">${images.map((image) => picture(image, content))}</div><figcaption>${
    classes[label].name
  } → ${classes[predicted].name} <span class="soft">${formatCount(count)}</span></figcaption></figure>
`,
)}</div>
</section>`;
}

function confusedSection({ confused }: DataCheck): Html {
  const shown = confused.slice(0, shownFindings.confused);
  return section(
    "confused",
    "Classes that the encoder cannot separate",
    confused.length,
    shown.length,
    "Of the images of both that get one of the two names, at least a quarter get the wrong one.",
    html`<ul>
${shown.map(({ classes: [a, b], share }) => html`<li>${a} and ${b}: ${formatPercent(share)}</li>\n`)}</ul>`,
  );
}
