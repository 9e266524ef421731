import { expect, test } from "vitest";
import { imagesOf } from "../../src/distill/images-in-process.ts";
import { choiceStepsFor, distillStep, initialState } from "../../src/distill/loop.ts";
import { openRealBatches } from "../../src/distill/real-batches.ts";
import type { ShardParts } from "../../src/distill/shard.ts";
import type { DistillParts, EncoderParts, TargetParts } from "../../src/distill/state.ts";
import { targetBasis } from "../../src/distill/target-features.ts";
import type { ChunkedEncoder } from "../../src/encoder/chunks.ts";
import { InterruptedError } from "../../src/errors.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { classMeans } from "../../src/select/coresets.ts";
import { augmentationOf } from "../../src/synthetic/augment.ts";
import { type Augmenter, createAugmenter } from "../../src/synthetic/augmenter.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";
import { productInDouble } from "../support/matrices.ts";

const classes = 3;
const size = 2;
const d = 3 * size * size;
const config = DistillConfig.parse({ steps: 8, targets: 2, batchSize: 10, parametrization: "pixels" });

/** A distillation whose features are the pixels themselves. */
async function start(changed: Partial<TargetParts> = {}, given: Partial<ShardParts> = {}) {
  const own = given.config ?? config;
  const real = randomFeatures(seededRandom(0, "real"), 30, d, classes);
  const maps = own.normalize.map((normalization) => featureMap({ normalization, mean: new Float64Array(d) }));
  const targets = { ...(await targetBasis(real, classes, 1)), ...changed };
  const pulled: Float32Array[] = [];
  const shardParts: ShardParts = {
    config: own,
    augmenter: undefined,
    encoders: [pixelsAsFeatures],
    renderer: {
      render: async ({ levels }) => levels[0].values.slice(),
      async update({ levels }, _, __, cotangent) {
        pulled.push(cotangent);
        for (const [i, g] of cotangent.entries()) levels[0].values[i] -= 0.1 * g;
      },
      async release() {},
    },
    ...given,
  };
  const parameters = noiseParameters("pixels", classes, size, 0);
  const images = await imagesOf(shardParts, parameters);
  const parts: DistillParts = {
    config: own,
    classes,
    encoders: [{ real, maps, targets, batches: openRealBatches(real, maps, productInDouble) }],
    gemm: jsGemm,
    images,
  };
  const state = initialState(own, classes, real.count, parameters);
  return { parts, state, pulled };
}

/** The same parts with something else of the encoder. */
const changedIn = (parts: DistillParts, changed: Partial<EncoderParts>): DistillParts => ({
  ...parts,
  encoders: parts.encoders.map((own) => ({ ...own, ...changed })),
});

const pixelsAsFeatures: ChunkedEncoder = {
  plan: { batch: classes, chunks: 1, activations: "save", callBytes: 0, activationBytes: 0 },
  featureSize: d,
  features: async (_, images) => images,
  pullback: async (_, __, cotangent) => cotangent.slice(),
  async release() {},
};

/** The state and the images' parameters. */
const whole = async ({ parts, state }: Pick<Awaited<ReturnType<typeof start>>, "parts" | "state">) => ({
  state,
  parameters: await parts.images.parameters(),
});

test("targets are chosen at the first step and every `targets` steps", async () => {
  const { parts, state } = await start();
  const chosen: (Float32Array | undefined)[] = [];
  for (let step = 0; step < 5; step++) {
    await distillStep(parts, state);
    chosen.push(state.targets);
  }
  const [a, b, c, d, e] = chosen;
  expect(a).toBe(b);
  expect(c).not.toBe(b);
  expect(c).toBe(d);
  expect(e).not.toBe(d);
});

test("targets are not chosen anew until the last level has had `targets` steps", async () => {
  const { parts, state } = await start();
  for (let step = 0; step < 2; step++) await distillStep(parts, state);
  const first = state.targets;
  // As a level that was added before the second step leaves it.
  state.adamSteps = 1;
  for (let step = 2; step < 4; step++) await distillStep(parts, state);
  expect(state.targets).toBe(first);
  await distillStep(parts, state);
  expect(state.targets).not.toBe(first);
});

test("without targets nothing is drawn anywhere", async () => {
  const with_ = await start();
  const without = await start();
  await distillStep(with_.parts, with_.state);
  await distillStep(changedIn(without.parts, { targets: undefined }), without.state);
  await Promise.all([with_, without].map(({ parts }) => parts.images.settled()));
  expect(without.state.targets).toBeUndefined();
  expect(without.pulled).not.toEqual(with_.pulled);
});

test("a choice that is stopped leaves the state as it was, and goes on as if it had not been", async () => {
  const undisturbed = await start();
  for (let step = 0; step < 4; step++) await distillStep(undisturbed.parts, undisturbed.state);

  for (const stopAt of [7, 170]) {
    const controller = new AbortController();
    let evaluations = 0;
    const stopped = await start({
      signal: controller.signal,
      onProgress: () => {
        if (++evaluations === stopAt) controller.abort();
      },
    });
    const run = async () => {
      while (stopped.state.step < 4) await distillStep(stopped.parts, stopped.state);
    };
    await expect(run()).rejects.toThrow(InterruptedError);
    expect(stopped.state.step).toBe(stopAt > 150 ? 2 : 0);
    // Taken up again.
    const again = changedIn(stopped.parts, { targets: undisturbed.parts.encoders[0].targets });
    while (stopped.state.step < 4) await distillStep(again, stopped.state);
    expect(await whole(stopped)).toEqual(await whole(undisturbed));
  }
});

test("an objective that looks at class means alone reads no real rows", async () => {
  const { parts, state } = await start();
  const read: number[] = [];
  const [own] = parts.encoders;
  const batches: EncoderParts["batches"] = {
    readAhead() {},
    async batch(indices, evaluations) {
      read.push(indices.length);
      return own.batches.batch(indices, evaluations);
    },
  };
  const means = await Promise.all(own.maps.map((map) => classMeans(own.real, classes, map)));
  const sfm: DistillParts = {
    ...changedIn(parts, { batches, classMeans: means, targets: undefined }),
    config: { ...config, method: "sfm" },
  };
  const { loss } = await distillStep(sfm, state);
  expect(read).toEqual([0]);
  expect((await distillStep(sfm, state)).loss).toBeLessThan(loss);
});

test("the pullback gets the images that the encoder saw, drawn once where its intermediates are kept", async () => {
  const draws = 2;
  const results = await Promise.all(
    (["save", "recompute"] as const).map(async (activations) => {
      const augmenter = await createAugmenter(
        nodeRuntime({ threads: 1 }),
        augmentationOf({}),
        ...([1, classes, size, size] as const),
      );
      let applied = 0;
      const seen: Float32Array[] = [];
      const run = await start(
        {},
        {
          config: { ...config, augment: draws },
          augmenter: {
            ...augmenter,
            apply(...given) {
              applied++;
              return augmenter.apply(...given);
            },
          },
          // Squares of the pixels: the pullback reads them.
          encoders: [
            {
              ...pixelsAsFeatures,
              plan: { ...pixelsAsFeatures.plan, activations },
              async features(slot, images) {
                seen[slot] = images;
                return images.map((x) => x * x);
              },
              async pullback(slot, images, cotangent) {
                expect(images).toEqual(seen[slot]);
                return images.map((x, i) => 2 * x * cotangent[i]);
              },
            },
          ],
        },
      );
      for (let step = 0; step < 2; step++) {
        await distillStep(changedIn(run.parts, { targets: undefined }), run.state);
      }
      const end = await whole(run);
      const result = { applied, whole: end };
      await run.parts.images.release();
      return result;
    }),
  );
  const [save, recompute] = results;
  expect(save!.applied).toBe(2 * draws);
  expect(recompute!.applied).toBe(4 * draws);
  expect(save!.whole).toEqual(recompute!.whole);
});

/** A step's cotangents of the images, which are the features, without an update. */
async function cotangentOf(changed: Partial<DistillConfig>, draw: (images: Float32Array) => Float32Array) {
  const augmenter: Augmenter = {
    apply: async (images) => draw(images),
    // The draws are linear maps that are their own adjoints.
    pullback: async (cotangent) => draw(cotangent),
    async release() {},
  };
  const { parts, state, pulled } = await start({}, { config: { ...config, ...changed }, augmenter });
  const report = await distillStep(changedIn(parts, { targets: undefined }), state);
  await parts.images.settled();
  return { loss: report.loss, cotangent: pulled[0] };
}

const half = (images: Float32Array) => images.map((v) => v / 2);
const mirrored = (images: Float32Array) => {
  const out = images.slice();
  for (let at = 0; at < images.length; at += size)
    for (let x = 0; x < size; x++) out[at + x] = images[at + size - 1 - x];
  return out;
};

test("with a ridge for each view, loss and cotangent are the mean over the views", async () => {
  const clean = await cotangentOf({}, half);
  const alone = await cotangentOf({ augment: 1, ridge: "per-view" }, mirrored);
  const both = await cotangentOf({ augment: 1, clean: true, ridge: "per-view" }, mirrored);
  expect(both.loss).toBeCloseTo((clean.loss + alone.loss) / 2, 10);
  for (const [i, value] of both.cotangent.entries())
    expect(value).toBeCloseTo((clean.cotangent[i] + alone.cotangent[i]) / 2, 6);
  expect(alone.loss).not.toBeCloseTo(clean.loss, 3);
});

test("with one ridge for all, two equal views are the same rows twice", async () => {
  const same = (images: Float32Array) => images;
  const twice = await cotangentOf({ augment: 1, clean: true, ridge: "joint" }, same);
  // 2 ZᵀZ + r has the solution of ZᵀZ + r/2, where r, relative to tr(K)/m, stays as it is.
  const once = await cotangentOf({ lambda: config.lambda / 2 }, same);
  expect(twice.loss).toBeCloseTo(once.loss, 6);
  const joint = await cotangentOf({ augment: 1, clean: true, ridge: "joint" }, mirrored);
  const each = await cotangentOf({ augment: 1, clean: true, ridge: "per-view" }, mirrored);
  expect(joint.loss).not.toBeCloseTo(each.loss, 3);
});

test("a choice of targets costs no more the more images there are", () => {
  expect([8, 56, 200].map((count) => choiceStepsFor(150, count))).toEqual([150, 150, 150]);
  // 150 · (200/1000)² and 150 · (200/3000)² = 2/3.
  expect([1000, 3000].map((count) => choiceStepsFor(150, count))).toEqual([6, 0]);
});
