import { describe, expect, it, vi } from "vitest";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { type Random, seededRandom } from "../../src/random.ts";
import { augmentationOf } from "../../src/synthetic/augment.ts";
import { createAugmenter } from "../../src/synthetic/augmenter.ts";
import { cropMatrix } from "../../src/synthetic/interpolation.ts";
import { randomArray, randomNumbers, relativeError } from "../support/check-rule.ts";

/** Normal numbers drawn so far, from whatever stream. */
const normals = vi.hoisted(() => ({ drawn: 0 }));

vi.mock("../../src/random.ts", async (original) => {
  const real = await original<typeof import("../../src/random.ts")>();
  const counting = (random: Random): Random => ({
    ...random,
    normal() {
      normals.drawn++;
      return random.normal();
    },
  });
  return {
    ...real,
    seededRandom: (seed: number, purpose: string) => counting(real.seededRandom(seed, purpose)),
  };
});

const runtime = nodeRuntime({ threads: 1 });
const recipe = augmentationOf("lgm");
const [seed, batch, size, out] = [5, 4, 9, 7];
const dims = [batch, 3, size, size];
const outDims = [batch, 3, out, out];
const images = Float32Array.from(randomArray(dims, randomNumbers(1)).data);
const cotangent = Float32Array.from(randomArray(outDims, randomNumbers(2)).data);

/** A_y X A_xᵀ + noise for each image, as the recipe draws it from the stream of (step, draw, chunk). */
function expectedDraw(step: number, draw: number, chunk: number) {
  const random = seededRandom(seed, `augmentation ${step} ${draw} ${chunk}`);
  return Array.from({ length: batch }, () => {
    const flip = random.uniform() < recipe.flipProbability;
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
    const noisy = random.uniform() < recipe.noiseProbability;
    const noise = Float64Array.from({ length: 3 * out * out }, () =>
      noisy ? recipe.noiseMean + recipe.noiseStd * random.normal() : 0,
    );
    return {
      rows: cropMatrix(out, size, crop.top, crop.height, false),
      columns: cropMatrix(out, size, crop.left, crop.width, flip),
      noise,
    };
  });
}

/** Adds A_y X A_xᵀ of every channel to `into`, or of its cotangents the adjoint A_yᵀ C A_x. */
function resample(step: number, draw: number, chunk: number, adjoint: boolean): Float64Array {
  const drawn = expectedDraw(step, draw, chunk);
  const result = new Float64Array(batch * 3 * (adjoint ? size * size : out * out));
  for (let plane = 0; plane < 3 * batch; plane++) {
    const { rows, columns } = drawn[Math.floor(plane / 3)]!;
    for (let i = 0; i < out; i++)
      for (let j = 0; j < out; j++)
        for (let r = 0; r < size; r++)
          for (let c = 0; c < size; c++) {
            const weight = rows[i * size + r]! * columns[j * size + c]!;
            const [inner, outer] = [(plane * size + r) * size + c, (plane * out + i) * out + j];
            if (adjoint) result[inner]! += weight * cotangent[outer]!;
            else result[outer]! += weight * images[inner]!;
          }
  }
  if (adjoint) return result;
  const noise = drawn.flatMap((image) => Array.from(image.noise));
  return result.map((v, i) => v + noise[i]!);
}

describe("an augmenter", () => {
  it("crops, flips and adds noise from the stream of step, draw and chunk; its pullback is the adjoint", async () => {
    const augmenter = await createAugmenter(runtime, recipe, seed, batch, size, out);
    for (const [step, draw, chunk] of [
      [0, 0, 0],
      [3, 1, 2],
    ] as const) {
      const augmented = await augmenter.apply(images, step, draw, chunk);
      expect(relativeError(augmented, resample(step, draw, chunk, false))).toBeLessThan(1e-6);
      const pulled = await augmenter.pullback(cotangent, step, draw, chunk);
      expect(relativeError(pulled, resample(step, draw, chunk, true))).toBeLessThan(1e-6);
    }
    await augmenter.release();
  });

  it("draws no noise for a pullback after the draw itself, with the same result as without it", async () => {
    const [after, alone] = await Promise.all(
      [0, 1].map(() => createAugmenter(runtime, recipe, seed, batch, size, out)),
    );
    for (const draw of [0, 1, 2]) await after!.apply(images, 1, draw, 0);
    for (const draw of [2, 0, 1]) {
      const before = normals.drawn;
      const pulled = await after!.pullback(cotangent, 1, draw, 0);
      expect(normals.drawn).toBe(before);
      expect(pulled).toEqual(await alone!.pullback(cotangent, 1, draw, 0));
    }
    await after!.release();
    await alone!.release();
  });
});
