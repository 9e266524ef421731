/**
 * Time to equal accuracy: LGM's recipe in PyTorch (bench/peers/lgm.py) distills the embedded emoji set on the embedded
 * encoder for a bounded time of its own steps, under each schedule below; CLP-DD does the same with its default recipe
 * and a faster one. Images on the way are judged by this project's evaluation on the real test images.
 *
 *   node equal-accuracy.js [--seconds 300] [--schedules "scaled,fast"] [--seeds 3] [--size 128] [--threads 2]
 *
 * Ends with one line of JSON: `EqualAccuracy`.
 */
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { distillStep, syntheticLabels } from "../../src/distill/loop.ts";
import { startSynthesis } from "../../src/distill/synthesize.ts";
import { placeOf } from "../../src/encoder/load/place.ts";
import {
  createFeatureAugmenter,
  defaultDraws,
  type FeatureAugmenter,
} from "../../src/evaluate/augmented-features.ts";
import { evaluateSet, type Protocol } from "../../src/evaluate/protocol.ts";
import { plainFeatures } from "../../src/evaluate/training-features.ts";
import { openRunContext, type RunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { sequentialBatches } from "../../src/probe/rows.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { withPreset } from "../../src/recipe/presets.ts";
import {
  type Accuracies,
  atEqualAccuracy,
  type EqualAccuracy,
  judges,
  reaches,
  type Snapshot,
  type Training,
} from "../lib/equal-accuracy-table.ts";
import { Peer, peerPython } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "300" },
    schedules: { type: "string", default: "scaled,fast" },
    seeds: { type: "string", default: "3" },
    size: { type: "string", default: "128" },
    threads: { type: "string", default: "2" },
  },
});
const seconds = Number(options.seconds);
const threads = Number(options.threads);
const size = Number(options.size);
/** LGM's number (arXiv 2511.16674). */
const augmentations = 10;

/**
 * LGM's schedules. The published one adds a level every 200 of its 5,000 steps; in the time that is given it would not
 * get beyond the first, so that a level comes at the same share of the time. The fast one is the default's here.
 */
const defaults = DistillConfig.parse({});
const schedules: Readonly<Record<string, { name: string; recipe: object }>> = {
  scaled: {
    name: "LGM, PyTorch: Adam 2e-3, a level every 4 % of the time",
    recipe: { lr: 2e-3, cosine: false, levelShare: 200 / 5000 },
  },
  fast: {
    name: `LGM, PyTorch: Adam ${defaults.learningRate}, cosine, a level every ${defaults.levelEvery} steps`,
    recipe: { lr: defaults.learningRate, cosine: true, levelEvery: defaults.levelEvery },
  },
};
/** Shares of LGM's time at which its images are judged. */
const shares = [1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1];
/** Steps after which those of CLP-DD are. */
const milestones = [5, 10, 15, 20, 30, 40, 60, 80, 100, 125, 150, 175, 200, 250, 300, 350, 400, 450, 500];
const ours = [
  { name: "CLP-DD", config: DistillConfig.parse(withPreset(undefined, {})) },
  { name: "CLP-DD, 200 steps", config: DistillConfig.parse(withPreset(undefined, { steps: 200 })) },
];

if (peerPython() === undefined) throw new Error("the peers are not installed (bench/peers/setup)");
const context = { signal: new AbortController().signal, progress() {}, note() {} };
const modelPath = (placeOf("efficientnet-lite0") as { path: string }).path;
const say = (text: string) => process.stderr.write(`${text}\n`);
const folder = await mkdtemp(join(tmpdir(), "clp-dd-equal-"));
const place = await openRunContext(
  {
    data: "emoji",
    encoder: "efficientnet-lite0",
    size,
    resize: size,
    threads,
    cacheFolder: userCache(),
    maxBad: 0,
  },
  context,
);
const augmenter = await createFeatureAugmenter(place.runtime, place.encoder);
try {
  const judge = await judgeOf(place, augmenter);
  const lgm: Training[] = [];
  for (const id of options.schedules.split(",")) {
    const { name, recipe } = schedules[id];
    lgm.push({ name, snapshots: await trainLgm(name, recipe, judge) });
  }
  const own: Training[] = [];
  const targets = atEqualAccuracy(lgm, []);
  for (const { name, config } of ours) {
    own.push({ name, snapshots: await trainOwn(name, config, judge, targets) });
  }
  const result: EqualAccuracy = {
    seconds,
    size,
    classes: place.source.classes.length,
    seeds: Number(options.seeds),
    trainings: [...lgm, ...own],
    rows: atEqualAccuracy(lgm, own),
  };
  console.log(JSON.stringify(result));
} finally {
  await augmenter.release();
  await place.release();
  await rm(folder, { recursive: true, force: true });
}

type Judge = (images: Float32Array) => Promise<Accuracies>;

/** This project's evaluation of images in memory: the closed form of the default, LGM's head without and with draws. */
async function judgeOf(
  { encoder, source, test, train, gemm }: RunContext,
  augmenter: FeatureAugmenter,
): Promise<Judge> {
  const classes = source.classes.length;
  const [map] = await fitFeatureMaps(defaults.normalize.slice(0, 1), train);
  const protocol: Omit<Protocol, "probes"> = {
    classes,
    test: test!,
    gemm,
    epochs: 1000,
    // Only a tuned head is validated, and there is none here.
    validation: train,
    seeds: Array.from({ length: Number(options.seeds) }, (_, seed) => seed),
  };
  const closedForm = { map: map!, lambda: defaults.lambda };
  return async (images) => {
    const labels = syntheticLabels(classes, 1);
    const plain = plainFeatures(await encoder.features(images, classes), labels);
    const set = {
      training: async (seed: number, augmented: boolean) =>
        augmented ? augmenter.training(images, labels, seed, defaultDraws) : plain,
    };
    const asIs = await evaluateSet(set, { ...protocol, probes: ["closed-form", "head"] }, false, closedForm);
    const drawn = await evaluateSet(set, { ...protocol, probes: ["head"] }, true, closedForm);
    const values = [...asIs, ...drawn].map(({ top1 }) => top1.mean);
    return Object.fromEntries(judges.map((name, k) => [name, values[k]])) as Accuracies;
  };
}

async function trainLgm(name: string, recipe: object, judge: Judge): Promise<Snapshot[]> {
  const { train, source, encoder } = place;
  const [features, labels, images] = ["features", "labels", "images"].map((file) => join(folder, file));
  const file = await open(features!, "w");
  for await (const batch of sequentialBatches(train)) {
    const { buffer, byteOffset, byteLength } = batch.features;
    await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength));
  }
  await file.close();
  await writeFile(labels!, new Uint8Array(Int32Array.from(train.labels).buffer));
  const peer = Peer.python("lgm.py");
  try {
    await peer.ask("load_real", {
      model: modelPath,
      size,
      features,
      labels,
      threads,
      augmentations,
      mean: encoder.preprocessing.mean,
      std: encoder.preprocessing.std,
      batch: defaults.batchSize,
      classes: source.classes.length,
      recipe: { ...recipe, seconds },
    });
    const snapshots: Snapshot[] = [];
    for (const share of shares) {
      const state = await peer.ask<{ steps: number; seconds: number }>("advance", { until: share * seconds });
      // A step that lasts longer than a share has been judged.
      if (state.steps === snapshots.at(-1)?.steps) continue;
      await peer.ask("save", { path: images });
      const bytes = await readFile(images!);
      const pixels = new Float32Array(new Uint8Array(bytes).buffer);
      snapshots.push({ ...state, accuracies: await judge(pixels) });
      say(`  ${name}: ${JSON.stringify(snapshots.at(-1))}`);
    }
    return snapshots;
  } finally {
    await peer.end();
  }
}

/** Steps of CLP-DD, judged until it has reached every target, and at its end. */
async function trainOwn(
  name: string,
  config: DistillConfig,
  judge: Judge,
  targets: EqualAccuracy["rows"],
): Promise<Snapshot[]> {
  const synthesis = await startSynthesis(place, config, totalmem() / 4, context);
  const { images } = synthesis.parts;
  const snapshots: Snapshot[] = [];
  try {
    let spent = 0;
    let lacking = true;
    while (synthesis.state.step < config.steps) {
      const start = performance.now();
      const { step } = await distillStep(synthesis.parts, synthesis.state);
      await images.settled();
      spent += (performance.now() - start) / 1000;
      if (step < config.steps && !(lacking && milestones.includes(step))) continue;
      const pixels = new Float32Array(images.count * 3 * size * size);
      for await (const part of images.rendered()) pixels.set(part.images, part.start * 3 * size * size);
      const accuracies = await judge(pixels);
      snapshots.push({ steps: step, seconds: spent, accuracies });
      lacking = targets.some(({ judge: by, target }) => !snapshots.some((s) => reaches(s, by, target)));
      say(`  ${name}: ${JSON.stringify(snapshots.at(-1))}`);
    }
    return snapshots;
  } finally {
    await synthesis.release();
  }
}
