import { describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../src/random.ts";
import { type AugmentationSettings, augmentationOf } from "../../src/synthetic/augment.ts";

import { createAugmenter } from "../../src/synthetic/augmenter.ts";
import { cropMatrix } from "../../src/synthetic/interpolation.ts";
import { randomArray, randomNumbers, relativeError } from "../support/check-rule.ts";

const runtime = nodeRuntime({ threads: 1 });
const [seed, batch, size, out] = [5, 4, 9, 7];
const dims = [batch, 3, size, size];
const outDims = [batch, 3, out, out];
const images = Float32Array.from(randomArray(dims, randomNumbers(1)).data);
const cotangent = Float32Array.from(randomArray(outDims, randomNumbers(2)).data);

const augmenterOf = (
  settings: AugmentationSettings,
  images = batch,
  side: readonly [number, number] = [size, out],
) => createAugmenter(runtime, augmentationOf(settings), seed, images, ...side);

/** A_y and A_x of each image, as the recipe draws them from the stream of (step, draw, image). */
function expectedDraw(settings: AugmentationSettings, step: number, draw: number, start: number) {
  const recipe = augmentationOf(settings);
  return Array.from({ length: batch }, (_, i) => {
    const random = seededRandom(seed, `augmentation ${step} ${draw} ${start + i}`);
    const own = random.uniform() < recipe.flipProbability;
    const all = seededRandom(seed, `flip ${step} ${draw}`).uniform() < recipe.flipProbability;
    const flip = recipe.flipsAlike ? all : own;
    let crop = { top: 0, left: 0, height: size, width: size };
    for (let attempt = 0; attempt < 10; attempt++) {
      const area = size * size * (recipe.scale[0] + (recipe.scale[1] - recipe.scale[0]) * random.uniform());
      const [narrow, wide] = recipe.ratio.map(Math.log) as [number, number];
      const ratio = Math.exp(narrow + (wide - narrow) * random.uniform());
      const [width, height] = [Math.sqrt(area * ratio), Math.sqrt(area / ratio)].map(Math.round) as [
        number,
        number,
      ];
      if (Math.min(width, height) < 1 || Math.max(width, height) > size) continue;
      crop = { top: random.below(size - height + 1), left: random.below(size - width + 1), height, width };
      break;
    }
    return {
      rows: cropMatrix(out, size, crop.top, crop.height, false),
      columns: cropMatrix(out, size, crop.left, crop.width, flip),
    };
  });
}

/** A_y X A_xᵀ of every channel, or of the cotangent the adjoint A_yᵀ C A_x. */
function resample(drawn: ReturnType<typeof expectedDraw>, adjoint: boolean): Float64Array {
  const result = new Float64Array(batch * 3 * (adjoint ? size * size : out * out));
  for (let plane = 0; plane < 3 * batch; plane++) {
    const { rows, columns } = drawn[Math.floor(plane / 3)];
    for (let i = 0; i < out; i++)
      for (let j = 0; j < out; j++)
        for (let r = 0; r < size; r++)
          for (let c = 0; c < size; c++) {
            const weight = rows[i * size + r] * columns[j * size + c];
            const [inner, outer] = [(plane * size + r) * size + c, (plane * out + i) * out + j];
            if (adjoint) result[inner] += weight * cotangent[outer];
            else result[outer] += weight * images[inner];
          }
  }
  return result;
}

/** An axis to half its length with [1 3 3 1]/8 and back linearly, its border repeated; written out by hand. */
function halfAndBack(line: readonly number[]): number[] {
  const at = (values: readonly number[], i: number) => values[Math.min(Math.max(i, 0), values.length - 1)];
  const half = Array.from(
    { length: Math.ceil(line.length / 2) },
    (_, i) => (at(line, 2 * i - 1) + 3 * at(line, 2 * i) + 3 * at(line, 2 * i + 1) + at(line, 2 * i + 2)) / 8,
  );
  return line.map((_, i) => {
    const own = i >> 1;
    return 0.75 * at(half, own) + 0.25 * at(half, i % 2 === 0 ? own - 1 : own + 1);
  });
}

const deviation = (values: Float32Array) => {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return { mean, std: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length) };
};

describe("an augmenter", () => {
  it.each(["geometric", "moderate"] as const)(
    "crops and flips (%s) from the stream of step, draw and image; its pullback is the adjoint",
    async (augmentation) => {
      const settings = { augmentation, noise: 0 };
      const augmenter = await augmenterOf(settings);
      for (const [step, draw, start] of [
        [0, 0, 0],
        [3, 1, 8],
      ] as const) {
        const drawn = expectedDraw(settings, step, draw, start);
        const augmented = await augmenter.apply(images, step, draw, start);
        expect(relativeError(augmented, resample(drawn, false))).toBeLessThan(1e-6);
        const pulled = await augmenter.pullback(cotangent, step, draw, start);
        expect(relativeError(pulled, resample(drawn, true))).toBeLessThan(1e-6);
      }
      await augmenter.release();
    },
  );

  it("draws an image alike whatever chunk it comes in", async () => {
    const settings = { augmentation: "moderate", lowPass: 0.5 } as const;
    const [whole, halves] = [await augmenterOf(settings), await augmenterOf(settings, batch / 2)];
    const half = images.length / 2;
    const backHalf = cotangent.length / 2;
    for (const step of [0, 1, 2, 3]) {
      const together = await whole.apply(images, step, 1, 0);
      const back = await whole.pullback(cotangent, step, 1, 0);
      for (const [part, start] of [0, batch / 2].entries()) {
        const own = images.subarray(part * half, (part + 1) * half);
        const drawn = await halves.apply(own, step, 1, start);
        expect(drawn).toEqual(together.slice(part * backHalf, (part + 1) * backHalf));
        const given = cotangent.slice(part * backHalf, (part + 1) * backHalf);
        expect(await halves.pullback(given, step, 1, start)).toEqual(
          back.slice(part * half, (part + 1) * half),
        );
      }
    }
    await whole.release();
    await halves.release();
  });

  it("adds noise of the given standard deviation around 0, other in every image, draw and step", async () => {
    const side = 48;
    const augmenter = await augmenterOf({ augmentation: "moderate", noise: 0.05 }, 2, [side, side]);
    // Crops of one color are that color: what is left is the noise.
    const flat = new Float32Array(2 * 3 * side * side).fill(0.5);
    const noises: Float32Array[] = [];
    for (const [step, draw] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const) {
      const drawn = await augmenter.apply(flat, step, draw, 0);
      for (const image of [0, 1])
        noises.push(drawn.slice(image * 3 * side * side, (image + 1) * 3 * side * side));
    }
    for (const noise of noises) {
      const { mean, std } = deviation(noise);
      expect(mean).toBeCloseTo(0.5, 2);
      expect(std).toBeCloseTo(0.05, 2);
    }
    for (const [i, noise] of noises.entries())
      for (const other of noises.slice(i + 1)) {
        // Independent: their difference has the sum of their variances.
        expect(deviation(noise.map((v, k) => v - other[k])).std).toBeCloseTo(0.05 * Math.SQRT2, 2);
      }
    await augmenter.release();
  });

  it("has LGM's noise, bright and in half of the images, where nothing else is set", async () => {
    const augmenter = await augmenterOf({}, 40, [8, 8]);
    const drawn = await augmenter.apply(new Float32Array(40 * 3 * 64), 0, 0, 0);
    const noisy = Array.from({ length: 40 }, (_, i) => drawn.slice(i * 3 * 64, (i + 1) * 3 * 64)).filter(
      (image) => image.some((v) => v !== 0),
    );
    expect(noisy.length).toBeGreaterThan(10);
    expect(noisy.length).toBeLessThan(30);
    const { mean, std } = deviation(Float32Array.from(noisy.flatMap((image) => [...image])));
    expect(mean).toBeCloseTo(0.5, 1);
    expect(std).toBeCloseTo(0.2, 1);
    await augmenter.release();
  });

  it("takes the detail of all images of a draw, and neither crops them nor adds noise, in the share of draws that is asked for", async () => {
    const mirror = false;
    const whole = await augmenterOf({ augmentation: "moderate", noise: 0, cropArea: 1, mirror });
    const sharp = await augmenterOf({ augmentation: "moderate", noise: 0, mirror });
    const soft = await augmenterOf({ augmentation: "moderate", lowPass: 1, mirror });
    const some = await augmenterOf({ augmentation: "moderate", noise: 0, lowPass: 0.3, mirror });
    let taken = 0;
    for (let step = 0; step < 60; step++) {
      const cropped = await sharp.apply(images, step, 0, 0);
      const uncropped = await whole.apply(images, step, 0, 0);
      const lowPassed = await soft.apply(images, step, 0, 0);
      for (let plane = 0; plane < 3 * batch; plane++) {
        const rows = Array.from({ length: out }, (_, r) =>
          halfAndBack([...uncropped.subarray((plane * out + r) * out, (plane * out + r + 1) * out)]),
        );
        for (let c = 0; c < out; c++) {
          const column = halfAndBack(rows.map((row) => row[c]));
          for (let r = 0; r < out; r++)
            expect(Math.abs(lowPassed[(plane * out + r) * out + c] - column[r])).toBeLessThan(1e-5);
        }
      }
      const drawn = await some.apply(images, step, 0, 0);
      expect([cropped, lowPassed]).toContainEqual(drawn);
      if (relativeError(drawn, Float64Array.from(lowPassed)) === 0) taken++;
      // ⟨A x, c⟩ = ⟨x, Aᵀ c⟩, low-passed or not.
      for (const augmenter of [soft, some]) {
        const forward = await augmenter.apply(images, step, 0, 0);
        const back = await augmenter.pullback(cotangent, step, 0, 0);
        const left = forward.reduce((sum, v, i) => sum + v * cotangent[i], 0);
        const right = images.reduce((sum, v, i) => sum + v * back[i], 0);
        expect(Math.abs(left - right)).toBeLessThan(1e-3 * Math.max(1, Math.abs(left)));
      }
    }
    expect(taken).toBeGreaterThan(6);
    expect(taken).toBeLessThan(30);
    for (const augmenter of [whole, sharp, soft, some]) await augmenter.release();
  });

  it("mirrors no image where mirrored ones would be of another class", () => {
    for (const augmentation of ["lgm", "geometric", "moderate"] as const)
      expect(augmentationOf({ augmentation, mirror: false }).flipProbability).toBe(0);
  });
});
