/**
 * The defaults, and the experiments behind the recipe for exact pixels: one setting at a time is changed from the preset
 * `exact`, on the embedded emoji
 * set with the embedded encoder, and the closed-form probe's accuracy on the test images is measured. Every run is
 * kept in docs/recipe.json under its whole configuration, and docs/recipe.md is written from there.
 *
 *   npm run recipe [-- --seeds 5] [--variants 1] [--only NAME,NAME] [--page] [--json]
 *
 * `--seeds` for the default, `--variants` for every other setting; `--page` measures nothing. What is kept is not run again; delete
 * docs/recipe.json to measure everything anew.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { userCache } from "../../src/files/cache-location.ts";
import { runDistillation } from "../../src/jobs/distill.ts";
import { meanStd } from "../../src/probe/metrics.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { withPreset } from "../../src/recipe/presets.ts";
import { type Setting, settings } from "../lib/settings.ts";

const { values: options } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    variants: { type: "string", default: "1" },
    only: { type: "string" },
    page: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const cacheFolder = userCache();
const context = { signal: new AbortController().signal, progress() {}, note() {} };

/** One run, as docs/recipe.json keeps it. */
interface Run {
  readonly config: DistillConfig;
  readonly top1: number;
  readonly seconds: number;
  /** Load average of the machine when the run began. */
  readonly load: number;
}

interface Baseline {
  readonly fullData: number;
  readonly centroid: number;
  readonly random: { readonly mean: number; readonly std: number };
}

const keptIn = "docs/recipe.json";
/** All that was measured, and on which machine. */
interface Kept {
  machine: string;
  readonly runs: Run[];
  readonly baselines: Record<string, Baseline>;
}
const kept: Kept = existsSync(keptIn)
  ? JSON.parse(readFileSync(keptIn, "utf8"))
  : { machine: "", runs: [], baselines: {} };
/** The recipe for exact pixels. The full data's probe and the real images depend on its feature map. */
const standard = DistillConfig.parse({});
const mapOf = (config: DistillConfig): string => config.normalize[0];

const runOf = (config: DistillConfig): Run | undefined =>
  // Settings that came later are at their defaults in earlier runs.
  kept.runs.find((run) => isDeepStrictEqual(DistillConfig.parse(run.config), config));

async function measure(config: DistillConfig): Promise<Run> {
  const load = loadavg()[0];
  const { manifest, seconds } = await runDistillation(
    {
      data: "emoji",
      encoder: "efficientnet-lite0",
      size: 128,
      resize: 128,
      cacheFolder,
      maxBad: 0,
      out: join(tmpdir(), `clp-dd-recipe-${process.pid}`),
      overwrite: true,
      config,
      baselines: kept.baselines[mapOf(config)] === undefined,
    },
    context,
  );
  const { closedForm, fullData, centroid, random } = manifest.metrics;
  if (fullData && centroid && random) {
    kept.baselines[mapOf(config)] = {
      fullData: fullData.top1,
      centroid: centroid.top1,
      random: { mean: random.mean, std: random.std },
    };
  }
  return { config, top1: closedForm!.top1, seconds, load };
}

const percent = (x: number) => (100 * x).toFixed(1);
const configOf = ({ config }: Setting, seed: number) => DistillConfig.parse({ ...config, seed });
const only = options.only?.split(",");
for (const setting of settings) {
  if (options.page || (only !== undefined && !only.includes(setting.name))) continue;
  const seeds = Number(setting.name === "default" ? options.seeds : options.variants);
  for (let seed = 0; seed < seeds; seed++) {
    const config = configOf(setting, seed);
    if (runOf(config) !== undefined) continue;
    const run = await measure(config);
    kept.runs.push(run);
    kept.machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), Node ${process.version}`;
    console.error(`${setting.name}, seed ${seed}: ${percent(run.top1)} (${run.seconds.toFixed(0)} s)`);
    writeFileSync(keptIn, `${JSON.stringify(kept, null, 1)}\n`);
  }
}
if (kept.baselines[mapOf(standard)] === undefined) {
  throw new Error(
    "Nothing was measured with the default's feature map yet: run the setting `default` first.",
  );
}
writeFileSync("docs/recipe.md", page());
if (options.json) console.log(JSON.stringify(kept));

/** The runs of a setting that are kept, by seed. */
function runsOf(setting: Setting): Run[] {
  const runs: Run[] = [];
  for (let seed = 0; ; seed++) {
    const run = runOf(configOf(setting, seed));
    if (run === undefined) return runs;
    runs.push(run);
  }
}

function page(): string {
  const baseline = kept.baselines[mapOf(standard)];
  const row = (setting: Setting): string[] => {
    const runs = runsOf(setting);
    if (runs.length === 0) return [];
    const { mean, std } = meanStd(runs.map((run) => run.top1));
    const spread = runs.length > 1 ? ` ± ${percent(std)}` : "";
    // Where the feature map is another one, so is the full data's probe.
    const { fullData } = kept.baselines[mapOf(runs[0]!.config)];
    const seconds = meanStd(runs.map((run) => run.seconds)).mean;
    const load = Math.max(...runs.map((run) => run.load));
    return [
      `| ${setting.name} | ${percent(mean)}${spread} | ${percent(mean / fullData)} % | ${runs.length} | ` +
        `${seconds.toFixed(0)} | ${load.toFixed(1)} |`,
    ];
  };
  const missing = settings.filter((setting) => runsOf(setting).length === 0).map(({ name }) => name);
  return `# The recipe

The defaults, what each of them means, and what changing one of them does. They are this project's own choice: the
authors of CLP-DD published no λ, τ, learning rate, number of steps or feature normalization. \`clp-dd distill --help\`
has the same list; \`--preset\` and \`--method\` change some of them.

${defaultsTable()}

## What changing one setting does
On the embedded emoji set (8 Unicode groups, 6,518 training and 1,754 test images drawn by other hands, 128 px) with the
embedded encoder, one image per class, hard labels, closed-form probe: top-1 on the test images in percent. Each row
changes one setting of the preset \`exact\`, the recipe for those who keep the exact pixels. What makes images bear
handling, as the default recipe's do, is in [robust.md](robust.md).

Full data, closed form: ${percent(baseline.fullData)}. Centroid images: ${percent(baseline.centroid)}. Random images, 5 seeds:
${percent(baseline.random.mean)} ± ${percent(baseline.random.std)}.

| setting | top-1 | of full data | seeds | seconds | load |
|---|---|---|---|---|---|
${settings.flatMap(row).join("\n")}
${missing.length > 0 ? `\nNot measured: ${missing.join("; ")}.\n` : ""}
Measured on ${kept.machine}. Load is the machine's load average when a run began
(the largest); above the number of cores the machine was doing other work too, and the seconds are too long. "Of full
data": of the full-data probe on the same feature map. One seed resolves differences of about two points, not less.

This page is written by \`npm run recipe\` (\`bench/pages/recipe.ts\`) from docs/recipe.json and the configuration
(\`src/recipe/config.ts\`, \`presets.ts\`). The experiments behind the choice, and what did not help: [notes/recipe.md](notes/recipe.md).
`;
}

/** Settings with their values in the default recipe and, where it differs, in that for exact pixels. */
function defaultsTable(): string {
  const recipe = DistillConfig.parse(withPreset(undefined, {}));
  const shown = (value: unknown) =>
    value === undefined ? "–" : `\`${Array.isArray(value) ? value.join(", ") : value}\``;
  const rows = Object.entries(DistillConfig.shape).map(([name, schema]) => {
    const setting = name as keyof DistillConfig;
    const [usual, exact] = [recipe[setting], standard[setting]];
    const differs = !isDeepStrictEqual(usual, exact);
    return `| \`${name}\` | ${shown(usual)} | ${differs ? shown(exact) : ""} | ${schema.meta()?.description ?? ""} |`;
  });
  return ["| setting | default | `exact`, if other | |", "|---|---|---|---|", ...rows].join("\n");
}
