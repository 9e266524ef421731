/**
 * A distillation from a feature cache of ImageNet-1K's size, 1,281,167 × 768 in half precision (2 GB), that is never
 * held in memory: makes such a cache of Gaussian class clusters in a temporary folder, distills 1,000 images of 32 px
 * from it with a small random encoder of 768 features, and deletes it. Writes docs/million.json and docs/million.md.
 *
 *   npm run bench:million -- [--rows 1281167] [--steps 5] [--folder DIR] [--dry]
 *
 * Making and distilling are separate processes, so that their peaks are too. `--dry` writes no page.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatTable } from "../../src/cli/table.ts";
import { formatBytes, formatCount } from "../../src/format.ts";
import { env } from "../../src/onnx-vjp/runtime/binding.ts";
import { distil, type MillionSteps } from "../runs/million-distil.ts";
import { type MadeCache, make } from "../runs/million-make.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "1281167" },
    steps: { type: "string", default: "5" },
    folder: { type: "string" },
    dry: { type: "boolean", default: false },
    /** Set where this process is to do one part of the work. */
    part: { type: "string" },
    cache: { type: "string" },
  },
});
const [rows, steps] = [Number(values.rows), Number(values.steps)];

if (values.part === "make") console.log(JSON.stringify(await make(values.cache!, rows)));
else if (values.part === "distil") console.log(JSON.stringify(await distil(values.cache!, steps)));
else main();

function main(): void {
  const parent = values.folder ?? tmpdir();
  const bytes = rows * 768 * 2;
  const free = statfsSync(parent);
  if (free.bavail * free.bsize < 1.5 * bytes) {
    console.error(`${parent} has no room for a cache of ${formatBytes(bytes)}. Give another --folder.`);
    process.exit(1);
  }
  const folder = mkdtempSync(join(parent, "clp-dd-million-"));
  try {
    const load = loadavg()[0];
    const made = part<MadeCache>("make", folder);
    console.error(`Made ${made.path} in ${made.seconds.toFixed(0)} s.`);
    const run = part<MillionSteps>("distil", made.path);
    const page = pageOf(made, run, load);
    console.log(page);
    if (values.dry) return;
    const docs = (file: string) => new URL(`../../../docs/${file}`, import.meta.url);
    const { path: _, ...where } = made;
    writeFileSync(docs("million.json"), `${JSON.stringify({ load, made: where, run }, null, 1)}\n`);
    writeFileSync(docs("million.md"), page);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function part<T>(name: string, cache: string): T {
  const args = ["--part", name, "--cache", cache, "--rows", `${rows}`, "--steps", `${steps}`];
  const text = execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(text.trimEnd().split("\n").at(-1)!) as T;
}

function pageOf(made: MadeCache, run: MillionSteps, load: number): string {
  const held = rows * 768 * 4;
  const stages = formatTable(
    ["stage", "seconds", "peak memory"],
    [made, ...run.stages].map((stage) => [
      stage.name,
      stage.seconds.toFixed(1),
      formatBytes(stage.peakMemoryBytes),
    ]),
  );
  const step = formatTable(
    ["part of a step", "ms", "share"],
    Object.entries(run.step).map(([name, ms]) => [
      name,
      ms.toFixed(1),
      `${((100 * ms) / run.stepMs).toFixed(1)} %`,
    ]),
  );
  const reading = formatTable(
    ["512 random rows", "file in the system's cache, ms", "file not in it, ms"],
    run.reading.map(({ name, warmMs, coldMs }) => [name, warmMs.toFixed(2), coldMs?.toFixed(1) ?? "–"]),
    { align: ["left", "right", "right"] },
  );
  const noisy = load > 1 ? " Other programs were using the machine: times are noisy." : "";
  return `# Distilling from ${formatCount(rows)} features

Written by \`npm run bench:million\` on ${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim()}, ${cpus().length} cores,
${(totalmem() / 2 ** 30).toFixed(0)} GiB; Node ${process.versions.node}, ONNX Runtime ${env.versions.node ?? env.versions.common}.
Load average at the start: ${load.toFixed(1)}.${noisy}

A made feature cache of ImageNet-1K's size: ${formatCount(rows)} × 768 in half precision, ${formatCount(run.classes)} Gaussian class
clusters, rows sorted by class; ${formatBytes(made.bytes)} on the disk, ${formatBytes(held)} if its features were held in single
precision. The distillation has ${formatCount(run.m)} images of ${run.size} px, one per class, a batch of ${run.batchSize} real features per step,
and a small random encoder (${run.encoder}) of 768 features,
so that what is left is the cost of the method itself.

\`\`\`
${stages}
\`\`\`

Peak memory is the whole process's: Node, ONNX Runtime, labels, the sampler's order, the synthetic images. The
features are read by row from the file (held in memory: ${run.inMemory ? "yes" : "no"}), statistics in one pass over it.

One step, mean of ${run.steps} after one more; ${run.stepMs.toFixed(0)} ms:

\`\`\`
${step}
\`\`\`

Reading a step's batch; what is read ahead is read while the encoder works, and counted in the step only where it
is waited for. ${run.reading.length} ways, median of ${run.readingRounds} batches each:

\`\`\`
${reading}
\`\`\`
`;
}
