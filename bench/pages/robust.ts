/**
 * The experiments behind the default recipe's robustness: each recipe distills the embedded emoji set with one icon set
 * held out, and is judged on that set as it is, after every edit, by probes that are trained on augmented draws, and by
 * other encoders that read the images. The test sets are never looked at. Every run is kept in docs/robust.json under its
 * whole configuration, and docs/robust.md is written from there.
 *
 *   node .bench/bench/pages/robust.js [--only NAME] [--seeds 1] [--readers lite1.onnx,…] [--threads 1] [--held-out ID]
 *
 * What is kept is not run again; `--only` may be given several times.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { homedir, loadavg, totalmem } from "node:os";
import { basename } from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { syntheticLabels } from "../../src/distill/loop.ts";
import { runSteps, startSynthesis } from "../../src/distill/synthesize.ts";
import { createFeatureAugmenter, defaultDraws } from "../../src/evaluate/augmented-features.ts";
import { measureEdits } from "../../src/evaluate/measure-edits.ts";
import { evaluateSet, validationOf } from "../../src/evaluate/protocol.ts";
import { openRunContext, type RunContext } from "../../src/features/run-context.ts";
import { cacheLocation } from "../../src/files/cache-location.ts";
import { subsetOf } from "../../src/probe/class-rows.ts";
import { evaluateClosedForm, fitClosedForm } from "../../src/probe/closed-form.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { meanStd } from "../../src/probe/metrics.ts";
import type { FeatureRows } from "../../src/probe/rows.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { withPreset } from "../../src/recipe/presets.ts";
import { type RobustSetting, robustSettings } from "../lib/robust-settings.ts";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    seeds: { type: "string", default: "1" },
    readers: { type: "string", default: "" },
    threads: { type: "string", default: "1" },
    "held-out": { type: "string", default: "fluent-emoji-flat" },
  },
});
const size = 128;
const keptIn = "docs/robust.json";
const context = { signal: new AbortController().signal, progress() {}, note() {} };

/** One run. Accuracies are fractions of the held-out icon set. */
interface Run {
  readonly config: DistillConfig;
  readonly heldOut: string;
  readonly top1: number;
  readonly edits: readonly { readonly name: string; readonly top1: number }[];
  /** The closed form and LGM's head, trained on augmented draws. */
  readonly augmented: { readonly closedForm: number; readonly head: number };
  /** The closed form under other encoders. */
  readonly readers: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Load average of the machine when the run began. */
  readonly load: number;
}
const kept: Run[] = existsSync(keptIn) ? (JSON.parse(readFileSync(keptIn, "utf8")) as Run[]) : [];

type HeldOut = RunContext & { readonly test: FeatureRows };

/** A workplace that learns from all training icon sets but one, which takes the test sets' place. */
async function holdOut(encoder: string): Promise<HeldOut> {
  const place = await openRunContext(
    {
      data: "emoji",
      encoder,
      size,
      resize: size,
      threads: Number(options.threads),
      cacheFolder: cacheLocation(process.env, homedir()),
      maxBad: 0,
    },
    context,
  );
  const images = place.source.images("train");
  const rows = Array.from({ length: place.train.count }, (_, row) => row);
  const isHeld = (row: number) =>
    images.at(place.train.imageIndices?.[row] ?? row).id.startsWith(`${options["held-out"]}/`);
  const train = await subsetOf(
    place.train,
    rows.filter((row) => !isHeld(row)),
  );
  return { ...place, train, test: await subsetOf(place.train, rows.filter(isHeld)) };
}

const configOf = ({ preset, config }: RobustSetting, seed: number): DistillConfig =>
  DistillConfig.parse({ ...withPreset(preset, config), seed });
const runOf = (config: DistillConfig): Run | undefined =>
  kept.find(
    (run) =>
      isDeepStrictEqual(DistillConfig.parse(run.config), config) && run.heldOut === options["held-out"],
  );

const percent = (x: number) => (100 * x).toFixed(1);
const wanted = robustSettings.filter(({ name }) => options.only?.includes(name) ?? true);
const missing = wanted.flatMap((setting) =>
  Array.from({ length: Number(options.seeds) }, (_, seed) => ({
    setting,
    config: configOf(setting, seed),
  })).filter(({ config }) => runOf(config) === undefined),
);
if (missing.length > 0) {
  const place = await holdOut("efficientnet-lite0");
  const readers: { name: string; place: HeldOut }[] = [];
  for (const path of options.readers.split(",").filter((text) => text !== ""))
    readers.push({ name: basename(path, ".onnx"), place: await holdOut(path) });
  for (const { setting, config } of missing) {
    const run = await measure(config, place, readers);
    kept.push(run);
    console.error(
      `${setting.name}, seed ${config.seed}: ${percent(run.top1)} in ${run.seconds.toFixed(0)} s`,
    );
    writeFileSync(keptIn, `${JSON.stringify(kept, null, 1)}\n`);
  }
}
writeFileSync("docs/robust.md", page());
process.exit(0);

async function measure(
  config: DistillConfig,
  place: HeldOut,
  readers: readonly { readonly name: string; readonly place: HeldOut }[],
): Promise<Run> {
  const load = loadavg()[0];
  const began = performance.now();
  const synthesis = await startSynthesis(place, config, totalmem() / 4, context);
  await runSteps(synthesis, context, async () => {});
  const seconds = (performance.now() - began) / 1000;
  const classes = place.source.classes.length;
  const labels = syntheticLabels(classes, config.ipc);
  const m = labels.length;
  const pixels = new Float32Array(m * 3 * size * size);
  for await (const { start, images } of synthesis.parts.images.rendered())
    pixels.set(images, start * 3 * size * size);
  await synthesis.release();
  const oneHot = centeredOneHot(labels, classes);
  const { lambda } = config;
  const mapOf = async ({ train }: HeldOut) =>
    (await fitFeatureMaps(config.normalize.slice(0, 1), train))[0] as FeatureMap;
  const accuracy = async (at: HeldOut): Promise<number> => {
    const features = await at.encoder.features(pixels, m);
    const probe = await fitClosedForm(features, oneHot, await mapOf(at), lambda, at.gemm);
    return (await evaluateClosedForm(probe, at.test, at.gemm)).top1;
  };
  const map = await mapOf(place);
  const { test, gemm } = place;
  const { each } = await measureEdits(
    async (edit) => place.encoder.features(await edit.apply(pixels, size, 0), m),
    oneHot,
    { map, lambda, test, gemm, mirror: true },
  );
  const read: Record<string, number> = {};
  for (const reader of readers) read[reader.name] = await accuracy(reader.place);
  const augmenter = await createFeatureAugmenter(place.runtime, place.encoder);
  const [closedForm, head] = await evaluateSet(
    { training: async (seed) => augmenter.training(pixels, labels, seed, defaultDraws) },
    {
      classes,
      test,
      gemm,
      validation: await validationOf(place.train),
      probes: ["closed-form", "head"],
      seeds: [0],
      epochs: 1000,
    },
    true,
    { map, lambda },
  );
  await augmenter.release();
  return {
    config,
    heldOut: options["held-out"],
    top1: await accuracy(place),
    edits: each,
    augmented: { closedForm: closedForm!.top1.mean, head: head!.top1.mean },
    readers: read,
    seconds,
    load,
  };
}

function page(): string {
  const spread = (values: readonly number[]): string => {
    if (values.length === 0) return "–";
    const { mean, std } = meanStd(values);
    return values.length > 1 ? `${percent(mean)} ± ${percent(std)}` : percent(mean);
  };
  const readers = [...new Set(kept.flatMap((run) => Object.keys(run.readers)))];
  const names = kept[0]?.edits.map(({ name }) => name) ?? [];
  const rows = robustSettings.flatMap((setting) => {
    const runs = kept.filter(
      (run) =>
        run.heldOut === options["held-out"] &&
        isDeepStrictEqual(DistillConfig.parse(run.config), configOf(setting, run.config.seed)),
    );
    if (runs.length === 0) return [];
    const edited = runs.map(({ edits }) => edits.map(({ top1 }) => top1));
    const cells = [
      spread(runs.map(({ top1 }) => top1)),
      spread(edited.map((all) => all.reduce((sum, v) => sum + v, 0) / all.length)),
      spread(edited.map((all) => Math.min(...all))),
      spread(runs.map(({ augmented }) => augmented.closedForm)),
      spread(runs.map(({ augmented }) => augmented.head)),
      ...readers.map((name) => spread(runs.flatMap((run) => run.readers[name] ?? []))),
      String(runs.length),
    ];
    const each = names.map((name) =>
      spread(runs.map(({ edits }) => edits.find((edit) => edit.name === name)!.top1)),
    );
    return [{ name: setting.name, cells, each }];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const table = (head: readonly string[], body: readonly (readonly string[])[]) =>
    [line(head), `|${head.map(() => "---|").join("")}`, ...body.map(line)].join("\n");
  return `# Images that bear handling

The experiments behind the default recipe, written by \`bench/pages/robust.ts\`: the embedded emoji set (8 Unicode groups) at
128 px with the embedded encoder, one image per class, distilled from three of the training icon sets. All figures are
top-1 in percent on the fourth training set (${options["held-out"]}), by the closed form where nothing else is said; the test sets
are not looked at. \`+aug\`: probes trained on flipped and cropped draws. Other encoders read the images at 128 px.

${table(
  [
    ...["recipe", "as it is", "mean over the edits", "worst edit", "closed form +aug", "LGM head +aug"],
    ...readers.map((name) => `read by ${name}`),
    "seeds",
  ],
  rows.map(({ name, cells }) => [name, ...cells]),
)}

${table(
  ["recipe", ...names],
  rows.map(({ name, each }) => [name, ...each]),
)}

How to read it, and what did not help: [notes/robust.md](notes/robust.md).
`;
}
