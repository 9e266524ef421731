/**
 * The experiments behind the defaults: one setting at a time is changed from the default, on the embedded emoji
 * set with the embedded encoder, and the closed-form probe's accuracy on the test images is measured. Writes
 * docs/recipe.md.
 *
 *   node .bench/bench/recipe.js [--seeds 5] [--variants 1] [--only NAME] [--json]
 *
 * `--seeds` for the default, `--variants` for every other setting.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, homedir, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cacheLocation } from "../src/data/cache-location.ts";
import type { DistillConfig } from "../src/distill/config.ts";
import { runDistillation } from "../src/distill/run-node.ts";
import { meanStd } from "../src/evaluate/metrics.ts";
import { type Setting, settings } from "./settings.ts";

const { values: options } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    variants: { type: "string", default: "1" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const cacheFolder = cacheLocation(process.env, homedir());
const context = { signal: new AbortController().signal, progress() {}, note() {} };

interface Outcome {
  readonly name: string;
  readonly config: Partial<DistillConfig>;
  readonly top1: readonly number[];
  readonly seconds: number;
}

let baseline: { fullData: number; centroid: number; random: { mean: number; std: number } } | undefined;
let described: DistillConfig | undefined;

async function measure({ name, config }: Setting, seeds: number): Promise<Outcome> {
  const top1: number[] = [];
  let seconds = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const { manifest, seconds: spent } = await runDistillation(
      {
        ...{ data: "emoji", encoder: "efficientnet-lite0", size: 128, resize: 128, cacheFolder, maxBad: 0 },
        ...{ out: join(tmpdir(), `clp-dd-recipe-${process.pid}`), overwrite: true },
        config: { ...config, seed },
        baselines: baseline === undefined,
      },
      context,
    );
    const { closedForm, fullData, centroid, random } = manifest.metrics;
    top1.push(closedForm!.top1);
    if (fullData && centroid && random)
      baseline = { fullData: fullData.top1, centroid: centroid.top1, random };
    if (name === "default") described ??= manifest.config;
    seconds += spent;
  }
  return { name, config, top1, seconds: seconds / seeds };
}

const percent = (x: number) => (100 * x).toFixed(1);
const outcomes: Outcome[] = [];
const load = loadavg()[0]!;
for (const setting of settings) {
  if (options.only !== undefined && setting.name !== options.only) continue;
  const outcome = await measure(
    setting,
    Number(setting.name === "default" ? options.seeds : options.variants),
  );
  outcomes.push(outcome);
  const { mean, std } = meanStd(outcome.top1);
  console.error(`${setting.name}: ${percent(mean)} ± ${percent(std)} (${outcome.seconds.toFixed(0)} s)`);
  if (options.only === undefined) writeFileSync("docs/recipe.md", page());
}
if (options.json) console.log(JSON.stringify({ baseline, outcomes }));

function page(): string {
  const full = baseline!.fullData;
  const row = ({ name, top1, seconds }: Outcome) => {
    const { mean, std } = meanStd(top1);
    const spread = top1.length > 1 ? ` ± ${percent(std)}` : "";
    return `| ${name} | ${percent(mean)}${spread} | ${percent(mean / full)} % | ${top1.length} | ${seconds.toFixed(0)} |`;
  };
  const notes = readFileSync("docs/recipe-notes.md", "utf8");
  return `# The recipe

The defaults are this project's own choice: the authors of CLP-DD published no λ, τ, learning rate, number of
steps or feature normalisation. This page is written by \`npm run recipe\` (\`bench/recipe.ts\`), on the embedded emoji
set (8 Unicode groups, 6,518 training and 1,754 test images drawn by other hands, 128 px) with the embedded
encoder, one image per class, hard labels, closed-form probe: top-1 on the test images in percent. Each row
changes one setting of the default.

Default: \`${JSON.stringify(described)}\`

Full data, closed form: ${percent(full)}. Centroid images: ${percent(baseline!.centroid)}. Random images, 5 seeds:
${percent(baseline!.random.mean)} ± ${percent(baseline!.random.std)}.

| setting | top-1 | of full data | seeds | seconds |
|---|---|---|---|---|
${outcomes.map(row).join("\n")}

Measured on ${availableParallelism()} cores (${cpus()[0]?.model.trim()}), Node ${process.version}; load at the start ${load.toFixed(1)}
(above ${availableParallelism()} the machine was doing other work too, and the seconds are too long). One seed tells differences
of about two points apart, not less.

${notes}`;
}
