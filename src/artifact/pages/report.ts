import { formatBytes, formatCount, formatMeanStd, formatPercent, formatSeconds } from "../../format.ts";
import { shareError, standardError } from "../../probe/metrics.ts";
import { editsInWords } from "../edits-in-words.ts";
import { type CurvePoint, imageCount, kindNames, type Manifest, type ResultRow } from "../manifest.ts";
import { encodersOf, sizedName } from "../recorded-encoders.ts";
import { chartSvg } from "./chart.ts";
import { type Html, html, link, trusted } from "./html.ts";
import { htmlPage } from "./page.ts";

/** One embedded image. */
export interface Thumbnail {
  readonly className: string;
  /** A data URI of an image, `data:image/…`. */
  readonly dataUri: string;
}

/** An embedded image as an edit left it. */
export interface EditedThumbnail extends Thumbnail {
  readonly edit: string;
}

/** What a report shows beside the manifest. */
export interface ReportContent {
  /** Images to embed, those of a class beside each other. */
  readonly thumbnails: readonly Thumbnail[];
  /** The same few images after each edit that was measured. */
  readonly edited?: readonly EditedThumbnail[];
  /** How many images there are in all. */
  readonly total: number;
  readonly curve: readonly CurvePoint[];
}

/** Images smaller than this are shown with hard pixel edges. */
const pixelatedBelow = 64;

/**
 * A run as one HTML file: no script, nothing fetched, light or dark. Every text of the manifest is escaped.
 * @throws RangeError for an image that is not a data URI
 */
export function reportHtml(manifest: Manifest, content: ReportContent): string {
  const { data, encoder, config } = manifest;
  return htmlPage(
    title(manifest),
    html`<h1>${headline(manifest, content.total)}</h1>
<p class="soft">Encoder ${encoder.id}, ${encoder.featureSize} features, frozen${othersText(manifest)}. ${
      manifest.kind === "distilled"
        ? `${config.steps} steps in ${formatSeconds(manifest.seconds)}`
        : `${manifest.kind === "full" ? "Solved on" : "Chosen from"} the real images in ${formatSeconds(manifest.seconds)}`
    }, at most ${formatBytes(manifest.peakMemoryBytes)} of memory.</p>
${imagesSection(manifest, content)}
${curvesSection(content.curve)}
${resultsSection(manifest)}
${editsSection(manifest, content.edited ?? [])}
${encodersSection(manifest)}
${stagesSection(manifest)}
${configSection(manifest)}
${provenanceSection(manifest)}
<footer><p class="small soft">Written by clp-dd ${manifest.tool.version} on ${manifest.machine.cpu}, ${
      manifest.machine.cores
    } cores, ${manifest.machine.browser ?? `Node ${manifest.machine.node}`}${
      manifest.machine.onnxruntime === undefined ? "" : `, ONNX Runtime ${manifest.machine.onnxruntime}`
    }. The exact pixels are in <code>distilled.safetensors</code>, 8-bit copies under
<code>images/</code>; ${data.name} itself is not part of this folder.</p></footer>`,
  );
}

function othersText(manifest: Manifest): string {
  const [, ...others] = encodersOf(manifest);
  if (others.length === 0) return "";
  return `; made for ${others.map(({ encoder }) => sizedName(encoder)).join(", ")} at the same time`;
}

function title(manifest: Manifest): string {
  const { data, kind } = manifest;
  return `${data.name}: ${kind === "full" ? "full data" : `${imageCount(manifest)} images`}`;
}

/** The result in a sentence. */
function headline({ kind, metrics, data }: Manifest, total: number): string {
  const what = kind === "distilled" ? "synthetic" : "real";
  const count = kind === "full" ? (data.counts.train ?? 0) : total;
  const images = `${formatCount(count)} ${what} image${count === 1 ? "" : "s"}`;
  const { closedForm, fullData } = metrics;
  if (closedForm === undefined) return `${data.name}: ${images}`;
  const own = `A linear probe trained on ${images} classifies ${formatPercent(closedForm.top1)} of ${data.name}’s test images correctly`;
  if (fullData === undefined || fullData.top1 === 0 || kind === "full") return `${own}.`;
  const train = data.counts.train === undefined ? "all" : `all ${formatCount(data.counts.train)}`;
  const share = formatPercent(closedForm.top1 / fullData.top1, 0);
  return `${own}: ${share} of what ${train} training images give.`;
}

function imagesSection(
  { classes, imageSize, kind, metrics }: Manifest,
  { thumbnails, total }: ReportContent,
): Html | undefined {
  if (thumbnails.length === 0) return undefined;
  const groups: { className: string; images: Thumbnail[] }[] = [];
  for (const image of thumbnails) {
    checkedUri(image);
    if (groups.at(-1)?.className === image.className) groups.at(-1)!.images.push(image);
    else groups.push({ className: image.className, images: [image] });
  }
  const several = groups.some((group) => group.images.length > 1);
  const cell = several ? "5rem" : groups.length > 24 ? "6.5rem" : groups.length > 8 ? "9rem" : "13rem";
  // A class with several images takes a row of them: half the page's width, or all of it.
  const most = Math.max(...groups.map((group) => group.images.length));
  const rowWidth = several ? (most <= 5 ? " half" : " whole") : "";
  const shape = `images${rowWidth}${imageSize < pixelatedBelow ? " pixelated" : ""}`;
  return html`<h2>The images</h2>
<div class="${shape}" style="--cell: ${cell}">
${groups.map(({ className, images }) => {
  const accuracy = metrics.closedForm?.perClass?.[classes.indexOf(className)];
  const whole = metrics.fullData?.perClass?.[classes.indexOf(className)];
  const ofFull = typeof whole === "number" ? ` (full data ${formatPercent(whole, 0)})` : "";
  const caption = html`<figcaption>${className}${
    typeof accuracy === "number"
      ? html` <span class="soft">${formatPercent(accuracy, 0)}${ofFull}</span>`
      : undefined
  }</figcaption>\n`;
  const shown = images.map(({ dataUri }) => html`<img src="${dataUri}" alt="${className}">`);
  return several
    ? html`<figure>${caption}<div class="strip">${shown}</div></figure>\n`
    : html`<figure>${shown}${caption}</figure>\n`;
})}</div>
<p class="small soft">${
    thumbnails.length < total
      ? `${formatCount(thumbnails.length)} of ${formatCount(total)} ${kind === "distilled" ? "synthetic " : ""}images, evenly sampled. `
      : ""
  }${imageSize} × ${imageSize} px.${
    metrics.closedForm?.perClass === undefined ? "" : " Beside each class: accuracy on its real test images."
  }</p>`;
}

function curvesSection(curve: readonly CurvePoint[]): Html | undefined {
  // One point is not a curve.
  if (curve.length < 2) return undefined;
  const accuracy = curve.flatMap(({ step, batchAccuracy }) =>
    batchAccuracy === undefined ? [] : [{ step, value: 100 * batchAccuracy }],
  );
  const charts = [
    {
      title: "Outer loss by step",
      label: "outer loss",
      points: curve.map(({ step, loss }) => ({ step, value: loss })),
      fromZero: false,
    },
    ...(accuracy.length > 1
      ? [
          {
            title: "Accuracy by step",
            label: "real training batch, % right",
            points: accuracy,
            fromZero: false,
          },
        ]
      : []),
  ];
  return html`<h2>While it ran</h2>
<div class="charts">${charts.map((chart) => html`<div>${trusted(chartSvg(chart))}</div>\n`)}</div>`;
}

function resultsSection({
  metrics,
  probe: { normalization, lambda, calibration },
  kind,
  data,
}: Manifest): Html | undefined {
  const { rows, fullData, closedForm } = metrics;
  if (rows.length === 0) return undefined;
  const has = (key: "top5" | "worstGroup") => rows.some((row) => row[key] !== undefined);
  const own = (row: ResultRow) =>
    kind === "random" ? row.name.startsWith(`${kindNames.random}, seed`) : row.name === kindNames[kind];
  // Where every row says the same, a narrow screen leaves it out.
  const probe = rows.every((row) => row.protocol === rows[0].protocol) ? "same" : "";
  // The share is of the better of the full data's probes.
  const full = Math.max(0, ...rows.filter(({ name }) => name === kindNames.full).map(({ top1 }) => top1));
  return html`<h2>Results</h2>
<div class="scroll"><table>
<thead><tr><th>Trained on</th><th class="number">Images</th><th class="${probe}">Probe</th><th class="number">Top-1</th>${
    has("top5") ? html`<th class="number extra">Top-5</th>` : undefined
  }${has("worstGroup") ? html`<th class="number">Worst group</th>` : undefined}<th class="number">Of full data</th><th class="bar"></th></tr></thead>
<tbody>
${rows.map((row) => {
  return html`<tr${own(row) ? trusted(' class="own"') : undefined}><td>${row.name}</td><td class="number">${formatCount(
    row.images,
  )}</td><td class="${probe}">${row.protocol}</td><td class="number">${formatMeanStd(row.top1, row.std)}</td>${
    has("top5") ? html`<td class="number extra">${optionalPercent(row.top5)}</td>` : undefined
  }${has("worstGroup") ? html`<td class="number">${optionalPercent(row.worstGroup)}</td>` : undefined}<td class="number">${
    full > 0 ? formatPercent(row.top1 / full, 0) : "–"
  }</td><td class="bar"><div style="width: ${(100 * row.top1).toFixed(1)}%"></div></td></tr>\n`;
})}</tbody>
</table></div>
<p class="small soft">Share of ${
    data.counts.test === undefined ? "the" : formatCount(data.counts.test)
  } real test images classified correctly, measured by this run.${uncertainty(metrics, data.counts.test)}${
    closedForm === undefined
      ? ""
      : ` Closed form: ridge regression on features after ${normalization}, λ = ${lambda}${
          kind === "full" ? ", chosen on a held-out tenth of the training images" : ""
        }`
  }${fullData === undefined ? (closedForm === undefined ? "" : ".") : `; on the full data λ = ${fullData.lambda}, chosen on a held-out tenth of it.`}${
    metrics.random === undefined
      ? ""
      : ` Random images: mean ± standard deviation over ${metrics.random.seeds.length} seeds.`
  }${calibrationText(closedForm?.calibrationError, calibration)}</p>`;
}

/** How far the probabilities can be trusted. */
function calibrationText(error: number | undefined, calibration: Manifest["probe"]["calibration"]): string {
  if (error === undefined || calibration === undefined) return "";
  return (
    ` Probabilities: softmax of the scores at temperature ${calibration.temperature.toPrecision(3)}, fitted on training ` +
    `images; on the test images their expected calibration error is ${formatPercent(error)} (15 bins).`
  );
}

/** Test images under which an accuracy is uncertain by several points. */
const fewTestImages = 200;

/** How uncertain the figures are for the number of their test images. */
function uncertainty({ closedForm, fullData }: Manifest["metrics"], count: number | undefined): string {
  if (closedForm === undefined || count === undefined) return "";
  const points = (100 * standardError(closedForm.top1, count)).toFixed(1);
  const share =
    fullData === undefined || fullData.top1 === 0
      ? ""
      : `, of its share of the full data ${(100 * shareError(closedForm.top1, fullData.top1, count)).toFixed(1)}`;
  const few =
    count < fewTestImages
      ? ` With ${formatCount(count)} test images, differences of less than ${(200 * standardError(closedForm.top1, count)).toFixed(0)} points say nothing.`
      : "";
  return ` Standard error of this set’s accuracy: ${points} points${share}.${few}`;
}

/** What is left of the images' worth after each edit, beside what the edit does to them. */
function editsSection(
  { metrics: { edits, closedForm }, imageSize }: Manifest,
  thumbnails: readonly EditedThumbnail[],
): Html | undefined {
  if (edits === undefined || closedForm === undefined) return undefined;
  const pixelated = imageSize < pixelatedBelow ? " pixelated" : "";
  return html`<h2>After handling</h2>
<p>${editsInWords(closedForm.top1, edits)} On average over the edits ${formatPercent(edits.mean)}, at worst ${formatPercent(
    edits.worst,
  )}; as they are ${formatPercent(closedForm.top1)}.</p>
<div class="images after${pixelated}" style="--cell: 9rem">
${edits.each.map(({ name, top1 }) => {
  const shown = thumbnails.filter(({ edit }) => edit === name);
  return html`<figure><div class="pair">${shown.map((image) => html`<img src="${checkedUri(image)}" alt="${image.className}, ${name}">`)}</div>
<figcaption>${name} <span class="soft">${formatPercent(top1)}</span></figcaption></figure>
`;
})}</div>
<p class="small soft">Closed form that is solved on the edited images; each edit by itself, on the exact pixels.</p>`;
}

/** What the images are worth under each encoder that they were made for. */
function encodersSection(manifest: Manifest): Html | undefined {
  const made = encodersOf(manifest);
  if (made.length < 2) return undefined;
  return html`<h2>Under each encoder</h2>
<div class="scroll"><table>
<thead><tr><th>Encoder</th><th class="number">Features</th><th class="number">Top-1</th><th class="number">Of full data</th><th class="number">Mean over edits</th><th class="number">Worst edit</th></tr></thead>
<tbody>
${made.map(({ encoder, metrics: { closedForm, fullData, edits } }) => {
  const share = closedForm && fullData && fullData.top1 > 0 ? closedForm.top1 / fullData.top1 : undefined;
  return html`<tr><td>${sizedName(encoder)}</td><td class="number">${encoder.featureSize}</td><td class="number">${optionalPercent(
    closedForm?.top1,
  )}</td><td class="number">${share === undefined ? "–" : formatPercent(share, 0)}</td><td class="number">${optionalPercent(
    edits?.mean,
  )}</td><td class="number">${optionalPercent(edits?.worst)}</td></tr>\n`;
})}</tbody>
</table></div>
<p class="small soft">The images were made for all of these at once. Each sees them resized to its own size, and has a closed-form probe of its own; all
else on this page is of the first.</p>`;
}

/** @throws RangeError for an image that is not a data URI */
function checkedUri({ dataUri }: Thumbnail): string {
  if (!/^data:image\/[a-z+]+[;,]/.test(dataUri)) throw new RangeError("an image is not a data URI");
  return dataUri;
}

/** Six digits are enough; the manifest has them all. */
const rounded = (values: readonly number[]): string =>
  values.map((value) => Number(value.toPrecision(6))).join(", ");

const optionalPercent = (value: number | undefined): string =>
  value === undefined ? "–" : formatPercent(value);

function stagesSection({ stages }: Manifest): Html | undefined {
  if (stages.length === 0) return undefined;
  const longest = Math.max(...stages.map((stage) => stage.seconds), 1e-9);
  return html`<h2>Time and memory</h2>
<div class="scroll"><table>
<thead><tr><th>Stage</th><th class="number">Time</th><th class="number">Peak memory</th><th class="bar"></th></tr></thead>
<tbody>
${stages.map(
  ({ name, seconds, peakMemoryBytes }) =>
    html`<tr><td>${name}</td><td class="number">${formatSeconds(seconds)}</td><td class="number">${formatBytes(
      peakMemoryBytes,
    )}</td><td class="bar"><div style="width: ${((100 * seconds) / longest).toFixed(1)}%"></div></td></tr>\n`,
)}</tbody>
</table></div>
<p class="small soft">Peak memory: the most that the whole process held in memory during the stage. Bars: time.</p>`;
}

/** The settings that choosing real images has; the others are a distillation's. The full data's probe has its own λ. */
const baselineSettings: readonly string[] = ["ipc", "seed", "normalize", "lambda"];
const fullSettings: readonly string[] = ["normalize"];

function configSection({ kind, config, preset, command }: Manifest): Html {
  const used = kind === "full" ? fullSettings : baselineSettings;
  const settings = Object.entries(config).filter(([name]) => kind === "distilled" || used.includes(name));
  const entries = settings.map(
    ([name, value]) =>
      html`<tr><th scope="row">${name}</th><td><code>${
        Array.isArray(value) ? value.join(", ") : String(value)
      }</code></td></tr>\n`,
  );
  return html`<details>
<summary>Configuration</summary>
${
  preset === undefined
    ? undefined
    : html`<p>Preset <code>${preset.name}</code>: ${preset.source}.${
        preset.unknown === undefined ? "" : ` Not as published or not known: ${preset.unknown}.`
      }</p>
`
}<div class="scroll"><table class="pairs"><tbody>
${entries}</tbody></table></div>
</details>
${command === undefined ? undefined : html`<h2>To repeat it</h2>\n<pre><code>${command}</code></pre>`}`;
}

function provenanceSection({ data, encoder }: Manifest): Html {
  const { preprocessing } = encoder;
  const counts = Object.entries(data.counts).map(([split, n]) => `${formatCount(n)} ${split}`);
  const resize =
    preprocessing.resize === null
      ? "no resize"
      : `resize ${typeof preprocessing.resize === "number" ? `shorter edge to ${preprocessing.resize}` : preprocessing.resize.join(" × ")} px, ${preprocessing.interpolation}`;
  return html`<h2>Where it comes from</h2>
<div class="scroll"><table class="pairs"><tbody>
<tr><th scope="row">Data</th><td>${data.name}${counts.length > 0 ? ` (${counts.join(", ")} images)` : ""}</td></tr>
${Object.entries(data.fingerprints).map(
  ([split, fingerprint]) =>
    html`<tr><th scope="row">Fingerprint, ${split}</th><td><code class="small">${fingerprint}</code></td></tr>\n`,
)}<tr><th scope="row">Encoder</th><td>${encoder.id}${
    encoder.source === undefined ? undefined : html`, ${link(encoder.source, encoder.source)}`
  }${encoder.license === undefined ? undefined : html`, ${encoder.license}`}</td></tr>
<tr><th scope="row">Encoder’s sha256</th><td><code class="small">${encoder.sha256}</code></td></tr>
<tr><th scope="row">Feature</th><td><code>${encoder.feature}</code>, pooling ${encoder.pool}, ${encoder.featureSize} numbers</td></tr>
<tr><th scope="row">Preprocessing</th><td>${resize}; crop ${preprocessing.crop.join(" × ")}; transparency laid on white; mean ${rounded(preprocessing.mean)}; standard deviation ${rounded(preprocessing.std)}</td></tr>
</tbody></table></div>
${
  data.licenses.length === 0
    ? html`<p class="small soft">The license of the training images is not known to clp-dd; images distilled from them may be bound by it.</p>`
    : html`<p>Licenses of the data set’s images:</p>
<ul>
${data.licenses.map(({ name, author, spdx, url }) => html`<li>${link(url, name)} by ${author}, ${spdx}</li>\n`)}</ul>`
}${data.notes.map((note) => html`<p class="small soft">${note}</p>\n`)}`;
}
