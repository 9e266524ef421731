import { parseHTML } from "linkedom";
import { expect, test } from "vitest";
import type { Manifest } from "../../src/artifact/manifest.ts";
import { chartSvg } from "../../src/artifact/pages/chart.ts";
import { escapeHtml, html, link } from "../../src/artifact/pages/html.ts";
import { reportHtml } from "../../src/artifact/pages/report.ts";
import { sampleContent, sampleManifest } from "../support/artifact-content.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const whole = (changes: Partial<Manifest> = {}): Manifest => ({
  ...sampleManifest(),
  folders: ["cat", "dog", "owl"],
  files: {},
  ...changes,
});
const content = (classes: readonly string[] = ["cat", "cat", "dog", "dog", "owl", "owl"], total = 6) => ({
  thumbnails: classes.map((className) => ({ className, dataUri: pixel })),
  total,
  curve: sampleContent().curve,
});
const documentOf = (markup: string) => parseHTML(markup).document;
const texts = (nodes: Iterable<Element>) =>
  Array.from(nodes, (node) => node.textContent!.replace(/\s+/g, " ").trim());

test("the headline states the result, and its share of the full data", () => {
  const { document } = parseHTML(reportHtml(whole(), content()));
  expect(document.querySelector("h1")!.textContent).toBe(
    "A linear probe trained on 6 synthetic images classifies 50.0 % of pets’s test images correctly: " +
      "80 % of what all 1,200 training images give.",
  );
});

test("the results table has every row, with its share of the full data under the same probe", () => {
  const document = documentOf(reportHtml(whole(), content()));
  const rows = [...document.querySelectorAll("table")[0].querySelectorAll("tbody tr")].map((row) =>
    texts(row.querySelectorAll("td")).slice(0, 5),
  );
  expect(rows).toEqual([
    ["full data", "1,200", "closed form", "62.5 %", "100 %"],
    ["distilled", "6", "closed form", "50.0 %", "80 %"],
    ["centroid images", "6", "closed form", "37.5 %", "60 %"],
    ["random images", "6", "closed form", "25.0 ± 1.3 %", "40 %"],
  ]);
});

test("how far the probabilities can be trusted is said where it was measured", () => {
  const [text] = texts(documentOf(reportHtml(whole(), content())).querySelectorAll("main"));
  expect(text).toContain("at temperature 0.250, fitted on training images");
  expect(text).toContain("expected calibration error is 1.3 % (15 bins)");
  const { calibration: _, ...probe } = sampleManifest().probe;
  expect(reportHtml(whole({ probe }), content())).not.toContain("calibration error");
});

test("top-5 and worst-group columns appear where they were measured", () => {
  const { metrics } = whole();
  const rows = metrics.rows.map((row, i) => (i === 1 ? { ...row, top5: 0.75, worstGroup: 0.1 } : row));
  const document = documentOf(reportHtml(whole({ metrics: { ...metrics, rows } }), content()));
  const table = document.querySelectorAll("table")[0];
  expect(texts(table.querySelectorAll("th"))).toEqual([
    ...["Trained on", "Images", "Probe", "Top-1", "Top-5", "Worst group", "Of full data", ""],
  ]);
  expect(texts(table.querySelectorAll("tbody tr:nth-child(2) td")).slice(4, 6)).toEqual(["75.0 %", "10.0 %"]);
  expect(texts(table.querySelectorAll("tbody tr:nth-child(1) td")).slice(4, 6)).toEqual(["–", "–"]);
});

test("images stand with their class and its accuracy; a sample is said to be one", () => {
  const document = documentOf(reportHtml(whole(), content(["cat", "cat", "dog", "owl"], 60)));
  expect(texts(document.querySelectorAll(".images:not(.after) figcaption"))).toEqual([
    "cat 25 %",
    "dog",
    "owl 58 %",
  ]);
  expect(document.querySelectorAll("img")).toHaveLength(4);
  expect(document.querySelector(".images")!.className).toContain("pixelated");
  expect(document.querySelector("main")!.textContent).toContain("4 of 60 synthetic images, evenly sampled");
  const all = documentOf(reportHtml(whole({ imageSize: 224 }), content()));
  expect(all.querySelector(".images")!.className).not.toContain("pixelated");
  expect(all.querySelector("main")!.textContent).not.toContain("evenly sampled");
});

test("nothing is fetched and nothing is run", () => {
  const markup = reportHtml(whole(), content());
  const document = documentOf(markup);
  expect(document.querySelectorAll("script, link, iframe, object, embed, form, base")).toHaveLength(0);
  for (const element of document.querySelectorAll("[src]")) {
    expect(element.getAttribute("src")).toMatch(/^data:image\//);
  }
  expect(markup).not.toMatch(/url\(|@import|\son\w+=/);
  expect(document.querySelector('meta[http-equiv="Content-Security-Policy"]')!.getAttribute("content")).toBe(
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
  );
});

test("every text of the manifest is shown as text, whatever it holds", () => {
  const evil = `<img src=x onerror=alert(1)>"'&</title></style><script>`;
  const manifest = JSON.parse(JSON.stringify(whole()), (key, value) =>
    typeof value === "string" && !["kind", "normalization", "parametrization", "interpolation"].includes(key)
      ? evil
      : value,
  ) as Manifest;
  const markup = reportHtml(manifest, content([evil, evil]));
  const document = documentOf(markup);
  expect(document.querySelectorAll("script, [onerror]")).toHaveLength(0);
  expect(document.querySelectorAll("style")).toHaveLength(document.querySelectorAll("svg").length + 1);
  expect(document.querySelectorAll("img")).toHaveLength(2);
  expect(document.querySelector("img")!.getAttribute("alt")).toBe(evil);
  expect(document.querySelectorAll("a")).toHaveLength(0);
  expect(document.querySelector("pre")!.textContent).toBe(evil);
  expect(() => reportHtml(whole(), { ...content(), thumbnails: [{ className: "a", dataUri: "x" }] })).toThrow(
    RangeError,
  );
});

test("configuration, command, stages, provenance and licenses are in it", () => {
  const document = documentOf(reportHtml(whole(), content()));
  const settings = texts(document.querySelectorAll("details tr"));
  expect(settings).toHaveLength(Object.keys(whole().config).length);
  expect(settings).toContain(`learningRate${whole().config.learningRate}`);
  const text = document.querySelector("main")!.textContent!;
  for (const part of [
    whole().command!,
    "distillation",
    "45.6 s",
    "512 MiB",
    "ab".repeat(32),
    "ef".repeat(32),
    "2 files were passed over.",
    "resize shorter edge to 10 px, bicubic",
  ]) {
    expect(text).toContain(part);
  }
  expect(texts(document.querySelectorAll("li"))).toEqual([
    "Pet photos by A. Nother, CC-BY-SA-4.0",
    "More pets by S. Body, MIT",
  ]);
});

test("λ and feature map are those of the recorded probe; the full data, which choose their λ, show no other", () => {
  const probe = { normalization: "l2", lambda: 0.003, tau: 1, usesStatistics: false } as const;
  const { fullData: _, ...metrics } = whole().metrics;
  const full = documentOf(reportHtml(whole({ kind: "full", probe, metrics }), content([], 0)));
  expect(full.querySelector("main")!.textContent).toContain(
    "features after l2, λ = 0.003, chosen on a held-out tenth of the training images.",
  );
  expect(texts(full.querySelectorAll("details th"))).toEqual(["normalize"]);
  const random = documentOf(reportHtml(whole({ kind: "random", probe }), content()));
  expect(random.querySelector("main")!.textContent).toContain("features after l2, λ = 0.003;");
  expect(texts(random.querySelectorAll("details th"))).toEqual(["ipc", "lambda", "normalize", "seed"]);
});

test("a run without test images, curve or licenses says so and has no empty tables", () => {
  const { data } = whole();
  const bare = whole({
    metrics: { rows: [] },
    data: { ...data, licenses: [], counts: { train: 9 } },
    stages: [],
  });
  const document = documentOf(reportHtml(bare, { thumbnails: [], total: 6, curve: [] }));
  expect(document.querySelector("h1")!.textContent).toBe("pets: 6 synthetic images");
  expect(texts(document.querySelectorAll("h2"))).toEqual(["To repeat it", "Where it comes from"]);
  expect(document.querySelectorAll("svg")).toHaveLength(0);
  expect(document.querySelector("main")!.textContent).toContain(
    "license of the training images is not known",
  );
});

test("curves are drawn from the first to the last step, with labels and units", () => {
  const document = documentOf(reportHtml(whole(), content()));
  const charts = [...document.querySelectorAll("svg")];
  expect(charts.map((chart) => chart.getAttribute("aria-label"))).toEqual([
    "Outer loss by step",
    "Accuracy by step",
  ]);
  expect(charts[1].textContent).toContain("real training batch, % right");
  expect(charts[0].textContent).toContain("step →");
});

test("a chart keeps the first and last of many points, in the frame", () => {
  const points = Array.from({ length: 5000 }, (_, i) => ({
    step: i + 1,
    value: i === 4999 ? 10 : Math.sin(i),
  }));
  const svg = chartSvg({ title: "t", label: "l", points, fromZero: false });
  const path = /aria-label="line"[^>]*>\s*<path[^>]* d="([^"]+)"|d="(M[^"]{500,})"/.exec(svg)!;
  const coordinates = (path[1] ?? path[2])!
    .match(/-?\d+(\.\d+)?,-?\d+(\.\d+)?/g)!
    .map((pair) => pair.split(",").map(Number));
  expect(coordinates.length).toBeLessThanOrEqual(601);
  // The frame is 420 × 240 less the margins; the last value is the highest of all.
  expect(coordinates[0][0]).toBeGreaterThanOrEqual(48);
  expect(coordinates.at(-1)![0]).toBeGreaterThan(400);
  expect(coordinates.at(-1)![0]).toBeLessThanOrEqual(404);
  expect(coordinates.at(-1)![1]).toBe(Math.min(...coordinates.map(([, y]) => y!)));
});

test.each([1, 2, 3, 5, 8, 25, 300])("the steps of a chart of %i are whole and told once", (steps) => {
  const points = Array.from({ length: steps }, (_, i) => ({ step: i + 1, value: i }));
  const document = documentOf(chartSvg({ title: "t", label: "l", points, fromZero: true }));
  const labels = texts(document.querySelectorAll('[aria-label="x-axis tick label"] text'));
  expect(labels.length).toBeGreaterThan(0);
  expect(new Set(labels).size).toBe(labels.length);
  for (const label of labels) expect(points.map(({ step }) => String(step))).toContain(label);
});

test("templates escape values, keep HTML, and link to the web alone", () => {
  expect(escapeHtml(`<a b="c">'&`)).toBe("&lt;a b=&quot;c&quot;&gt;&#39;&amp;");
  expect(html`<p>${"<"}${[html`<b>${1}</b>`, undefined, "&"]}</p>`.html).toBe("<p>&lt;<b>1</b>&amp;</p>");
  expect(link("https://example.org/?a=1&b", "x").html).toBe(
    '<a href="https://example.org/?a=1&amp;b" rel="noreferrer">x</a>',
  );
  expect(link("javascript:alert(1)", "<x>").html).toBe("&lt;x&gt;");
});

test("the images are shown after each edit, with what is left of them and a sentence of what they bear", () => {
  const edited = ["JPEG 90", "mirrored"].flatMap((edit) =>
    ["cat", "dog"].map((className) => ({ edit, className, dataUri: pixel })),
  );
  const document = documentOf(reportHtml(whole(), { ...content(), edited }));
  const captions = texts(document.querySelectorAll("figcaption")).filter((text) =>
    /JPEG|mirrored/.test(text),
  );
  expect(captions).toEqual(["JPEG 90 49.0 %", "mirrored 25.0 %"]);
  expect([...document.querySelectorAll(".pair img")].map((image) => image.getAttribute("alt"))).toEqual([
    ...["cat, JPEG 90", "dog, JPEG 90", "cat, mirrored", "dog, mirrored"],
  ]);
  expect(document.body.textContent).toMatch(/through: JPEG 90; they do not bear .*: mirrored\./);
  const { edits: _, ...metrics } = whole().metrics;
  expect(reportHtml(whole({ metrics }), content())).not.toContain("After handling");
});
