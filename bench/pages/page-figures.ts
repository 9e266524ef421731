/**
 * Measures the page (bench/runs/page.ts) and the head of Teachable Machine's library (bench/runs/page-head.ts), and writes the
 * figures into docs/browser.md. A part that is left out keeps what was measured before.
 *
 *   npm run build && npm run bench:build && node .bench/bench/pages/page-figures.js [--only weight,gather,distill,memory,many,head]
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cloneFolder } from "../lib/page-bundle.ts";

const { values } = parseArgs({
  options: { only: { type: "string", default: "weight,gather,distill,memory,many,head" } },
});

/** Scripts and options of the parts. */
const parts = {
  weight: ["page.js", "weight"],
  gather: ["page.js", "gather", "--images", "300"],
  distill: ["page.js", "distill", "--steps", "200"],
  memory: ["page.js", "distill", "--steps", "40", "--runs", "3"],
  many: ["page.js", "many", "--images", "5000"],
  head: ["page-head.js"],
} as const;
type Part = keyof typeof parts;

interface Memory {
  readonly bytes?: number;
  readonly processBytes?: number;
}
interface Measured {
  readonly browser: string;
  readonly threads: number;
  readonly readySeconds: number;
  readonly images: number;
  readonly imagesPerSecond: number;
  readonly answerSeconds: number;
  readonly steps: number;
  readonly before: Memory;
  readonly after: Memory;
  readonly runs: readonly (Memory & { readonly seconds: number })[];
  readonly sizes: Readonly<Record<string, { readonly bytes: number; readonly gzip: number }>>;
}
interface Head {
  readonly images: number;
  readonly testImages: number;
  readonly classes: number;
  readonly ours: { readonly firstSeconds: number; readonly seconds: number; readonly accuracy: number };
  readonly theirs: readonly {
    readonly seconds: number;
    readonly accuracy: number;
    readonly backend: string;
  }[];
}

const page = join(cloneFolder, "docs/browser.md");
const kept = join(cloneFolder, "docs/browser-figures.json");
const found: Partial<Record<Part, unknown>> & { machine?: string; date?: string } = existsSync(kept)
  ? JSON.parse(readFileSync(kept, "utf8"))
  : {};
for (const part of values.only.split(",").filter(Boolean) as Part[]) {
  const [script, ...args] = parts[part];
  process.stderr.write(`${part}\n`);
  const path = fileURLToPath(new URL(`../runs/${script}`, import.meta.url));
  const text = execFileSync(process.execPath, [path, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  found[part] = JSON.parse(text.trim().split("\n").at(-1)!);
  found.machine = `${cpus().length} cores of ${cpus()[0]!.model}`;
  found.date = new Date().toISOString().slice(0, 10);
  writeFileSync(kept, `${JSON.stringify(found, null, 2)}\n`);
}

const mb = (bytes: number | undefined): string =>
  bytes === undefined ? "–" : `${Math.round(bytes / 1e6)} MB`;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function weightText({ sizes }: Measured): string {
  const sum = (test: (name: string) => boolean) => {
    const own = Object.entries(sizes).filter(([name]) => test(name));
    const total = (key: "bytes" | "gzip") => own.reduce((all, [, size]) => all + size[key], 0);
    const show = (bytes: number) =>
      bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
    return `${show(total("bytes"))} | ${show(total("gzip"))}`;
  };
  const rows = [
    ["page: HTML, style, scripts", sum((n) => n === "index.html" || /^assets\/index-/.test(n))],
    ["worker, with the library", sum((n) => /^assets\/(worker|browser)-/.test(n))],
    ["ONNX Runtime for WebAssembly", sum((n) => /^ort\/ort-wasm-simd-threaded\.(mjs|wasm)$/.test(n))],
    ["ONNX Runtime with WebGPU, where it is tried", sum((n) => /jspi/.test(n))],
    ["a ready set to try", sum((n) => n.startsWith("ready/"))],
  ];
  return `| | bytes | with gzip |\n|---|--:|--:|\n${rows.map(([name, text]) => `| ${name} | ${text} |`).join("\n")}

The page is visible before the worker and what follows it are loaded; the encoder, 6.8 MB, is the package's own. \`dist/app/LICENSES.txt\` has the
licenses of what is bundled.`;
}

const sentences: Readonly<Record<Exclude<Part, "weight" | "head">, (own: Measured) => string>> = {
  gather: (own) =>
    `- Ready after ${own.readySeconds.toFixed(1)} s; ${own.images} drawings are gathered at ${own.imagesPerSecond.toFixed(1)} images per second, ` +
    `the last answer in ${own.answerSeconds.toFixed(2)} s.`,
  distill: (own) =>
    `- 8 images × ${own.steps} steps at 128 px: ${own.runs[0]!.seconds.toFixed(0)} s, the start and the measuring included (goal: under 90 s).`,
  memory: (own) =>
    `- Memory of the page's process before, and after each of ${own.runs.length} distillations of ${own.steps} steps in one tab: ` +
    `${[own.before, ...own.runs].map(({ processBytes }) => mb(processBytes)).join(", ")}.`,
  many: (own) =>
    `- ${own.images} images in one project: ${own.imagesPerSecond.toFixed(1)} per second with the answers between, the last answer in ` +
    `${own.answerSeconds.toFixed(1)} s; the process takes ${mb(own.after.processBytes)}, ${mb(own.before.processBytes)} before.`,
};

function headText({ images, testImages, classes, ours, theirs }: Head): string {
  const rows = [
    ["closed form, first time", ours.firstSeconds.toFixed(2), percent(ours.accuracy)],
    ["closed form, again", ours.seconds.toFixed(2), percent(ours.accuracy)],
    ...theirs.map(({ seconds, accuracy, backend }) => [
      `@teachablemachine/image, TensorFlow.js on ${backend}`,
      seconds.toFixed(2),
      percent(accuracy),
    ]),
  ];
  return `Time to an answer beside Teachable Machine's own library (\`@teachablemachine/image\` 0.8.5, 50 epochs, batches of 16, learning rate
0.001, 100 hidden units, as its site has them), on the same features: ${images} training images of the emoji set in ${classes} classes, ${testImages}
test images drawn by others. Its MobileNet is not part of the package and was not fetched, so both got features of EfficientNet-Lite0 at 128 px.

| head | seconds | test accuracy |
|---|--:|--:|
${rows.map((row) => `| ${row.join(" | ")} |`).join("\n")}`;
}

const lines = (Object.keys(sentences) as (keyof typeof sentences)[]).flatMap((part) =>
  found[part] ? [sentences[part](found[part] as Measured)] : [],
);
const timed = (found.gather ?? found.distill) as Measured | undefined;
const where = timed
  ? `: ${timed.browser} with ${timed.threads} threads of WebAssembly on ${found.machine}`
  : "";
const text = [
  "<!-- figures -->",
  "## Figures",
  `Written by \`node .bench/bench/pages/page-figures.js\`, ${found.date}${where}.`,
  ...(found.weight ? [weightText(found.weight as Measured)] : []),
  ...(lines.length > 0 ? [lines.join("\n")] : []),
  ...(found.head ? [headText(found.head as Head)] : []),
  "<!-- /figures -->",
].join("\n\n");
const before = readFileSync(page, "utf8");
writeFileSync(
  page,
  before.replace(/<!-- figures -->[\s\S]*<!-- \/figures -->/, () => text),
);
