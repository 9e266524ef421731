/** The sections about the page of `clp-dd app`, in Chromium. */
import { formatBytes } from "../../src/format.ts";
import type { PageFigures, PageMemory } from "../runs/page.ts";
import type { PageHead } from "../runs/page-head.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, noted } from "./section-text.ts";

/** One run of bench/runs/page.ts. */
type Part = readonly [name: string, args: readonly (string | number)[]];

const measure = (parts: readonly Part[]) =>
  each(
    parts,
    ([name]) => name,
    ([, args]) => child<PageFigures>("page.js", args),
  );

const seconds = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} s`;

/** Where it was measured, and what the page reported. */
function said(results: readonly PageFigures[]): string[] {
  const where = results.map(({ browser, threads }) => `${browser}, ${threads} threads of WebAssembly.`);
  const errors = results.flatMap((each) => each.errors);
  return [...new Set(where), ...errors.map((error) => `The page reported an error: ${error}`)];
}

export function page({ quick }: BenchOptions): Report {
  const [images, steps] = quick ? [60, 10] : [300, 200];
  const { results, notes } = measure([
    [`${images} images gathered`, ["gather", "--images", images]],
    [`8 images × ${steps} steps`, ["distill", "--steps", steps]],
    ["the page's files", ["weight"]],
  ]);
  const rows = results.flatMap(({ gathered, distilled, readySeconds }) => [
    ...(gathered
      ? [
          ["from the address to a loaded encoder", seconds(readySeconds!), ""],
          [`${gathered.images} images gathered`, `${gathered.imagesPerSecond.toFixed(1)} images/s`, ""],
          [`an answer of ${gathered.images} images`, seconds(gathered.answerSeconds), ""],
        ]
      : []),
    ...(distilled ?? []).flatMap((run) => [
      [
        `8 images × ${run.steps} steps at 128 px, start and packing included`,
        seconds(run.seconds),
        steps === 200 ? "under 90 s" : "",
      ],
      ["frames of the page meanwhile", `${run.framesPerSecond.toFixed(0)} per s`, "60"],
      ["longest time without one", `${run.longestFrameMs.toFixed(0)} ms`, ""],
    ]),
  ]);
  const { sizes } = results.find((each) => each.sizes) ?? {};
  return {
    text: [
      ...said(results.filter(({ browser }) => browser)),
      formatTable(["what", "measured", "goal"], rows),
      sizes === undefined ? "" : weights(sizes),
      noted(notes),
    ].join("\n\n"),
  };
}

/** What is fetched, in the order in which the page needs it. */
function weights(sizes: NonNullable<PageFigures["sizes"]>): string {
  const kinds: readonly (readonly [string, RegExp])[] = [
    ["page: HTML, style, scripts", /^(index\.html|assets\/index-.*)$/],
    ["worker, with the library", /^assets\/(worker|browser)-/],
    ["ONNX Runtime for WebAssembly", /^ort\/ort-wasm-simd-threaded\.(mjs|wasm)$/],
    ["the embedded encoder", /^models\/efficientnet-lite0\./],
    ["ONNX Runtime with WebGPU, where it is tried", /jspi/],
    ["a ready set to try", /^ready\//],
  ];
  const sum = (of: RegExp, key: "bytes" | "gzip") =>
    Object.entries(sizes).reduce((all, [name, size]) => all + (of.test(name) ? size[key] : 0), 0);
  return formatTable(
    ["fetched", "size", "with gzip"],
    kinds.map(([name, of]) => [name, formatBytes(sum(of, "bytes")), formatBytes(sum(of, "gzip"))]),
  );
}

export function pageMemory({ quick }: BenchOptions): Report {
  const [images, steps] = quick ? [200, 5] : [5000, 40];
  const { results, notes } = measure([
    [`three distillations of ${steps} steps in one tab`, ["distill", "--steps", steps, "--runs", 3]],
    [`${images} images in one project`, ["many", "--images", images]],
  ]);
  const row = (name: string, { processBytes, bytes }: PageMemory) => [
    name,
    processBytes === undefined ? "–" : formatBytes(processBytes),
    bytes === undefined ? "–" : formatBytes(bytes),
  ];
  const rows = results.flatMap(({ gathered, distilled = [], before, after }) => [
    ...(gathered ? [row("an empty project", before!), row(`${gathered.images} images`, after!)] : []),
    ...(distilled.length > 0 ? [row("40 images, before distilling", before!)] : []),
    ...distilled.map((run, i) => row(`after distillation ${i + 1} of ${run.steps} steps`, run)),
  ]);
  const gathered = results.flatMap((each) => each.gathered ?? []);
  const rates = gathered.map(
    (own) =>
      `${own.images} images came at ${own.imagesPerSecond.toFixed(1)} per second, with answers meanwhile; the last took ${seconds(own.answerSeconds)}.`,
  );
  return {
    text: [
      ...said(results),
      formatTable(["state", "process", "page and workers"], rows),
      ...rates,
      noted(notes),
    ].join("\n\n"),
  };
}

export function pageHead({ threads, quick }: BenchOptions): Report {
  const { images, testImages, classes, featureSize, ours, theirs } = child<PageHead>("page-head.js", [
    ...["--threads", threads, "--each", quick ? 10 : 40],
  ]);
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = [
    ["closed form, the runtime's start included", ours.firstSeconds.toFixed(2), percent(ours.accuracy)],
    ["closed form, again", ours.seconds.toFixed(2), percent(ours.accuracy)],
    ...theirs.map((own) => [
      `Teachable Machine, TensorFlow.js on ${own.backend}`,
      own.seconds.toFixed(2),
      percent(own.accuracy),
    ]),
  ];
  const sizes = `${images} training images of ${classes} classes, ${testImages} test images, ${featureSize} features.`;
  return { text: `${sizes}\n\n${formatTable(["head", "s", "accuracy"], rows)}\n` };
}
