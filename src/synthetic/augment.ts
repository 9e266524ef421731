import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import type { Random } from "../random.ts";
import { cropMatrix } from "./interpolation.ts";

/** Random resized crop, flip and noise, as LGM's papers draw them ("DSA" there). */
export interface AugmentationRecipe {
  /** Share of the image's area that a crop covers. */
  readonly scale: readonly [number, number];
  /** Width over height of a crop. */
  readonly ratio: readonly [number, number];
  readonly flipProbability: number;
  readonly noiseProbability: number;
  readonly noiseMean: number;
  readonly noiseStd: number;
}

/** LGM's published recipe (arXiv 2511.16674). */
const lgmAugmentation: AugmentationRecipe = {
  scale: [0.08, 1],
  ratio: [3 / 4, 4 / 3],
  flipProbability: 0.5,
  noiseProbability: 0.5,
  noiseMean: 0.5,
  noiseStd: 0.2,
};

/** Flip and crop alone: what images are augmented with when probes are trained on them, too. */
export const geometricAugmentation: AugmentationRecipe = { ...lgmAugmentation, noiseProbability: 0 };

const recipes = { lgm: lgmAugmentation, geometric: geometricAugmentation } as const;

/** The recipe by the name that a configuration has for it; LGM's where it says nothing. */
export const augmentationOf = (name: keyof typeof recipes = "lgm"): AugmentationRecipe => recipes[name];

/** The part of an image that is taken, in pixels, and whether it is mirrored. */
export interface Crop {
  readonly flip: boolean;
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** One draw for a batch: a crop of each image, and noise [batch, 3, out, out]. */
export interface AugmentationDraw {
  readonly crops: readonly Crop[];
  readonly noise: Float32Array;
}

/**
 * Crop, flip and resize as A_y X A_xᵀ, plus noise: images [batch, 3, size, size] in [0, 1] to
 * [batch, 3, out, out]. `columns` holds A_xᵀ [batch, size, out].
 */
export function augmentationGraph(batch: number, size: number, out: number): Graph {
  const b = new GraphBuilder();
  const images = b.input("images", [batch, 3, size, size]);
  const rows = b.input("rows", [batch, 1, out, size]);
  const columns = b.input("columns", [batch, 1, size, out]);
  const noise = b.input("noise", [batch, 3, out, out]);
  const resampled = b.op("MatMul", [rows, b.op("MatMul", [images, columns])]);
  b.output(b.op("Add", [resampled, noise]), { dims: [batch, 3, out, out] }, "augmented");
  return b.graph;
}

/** Draws an augmentation for each of `batch` images. */
export function drawAugmentation(
  random: Random,
  recipe: AugmentationRecipe,
  batch: number,
  size: number,
  out: number,
): AugmentationDraw {
  const crops: Crop[] = [];
  const noise = new Float32Array(batch * 3 * out * out);
  for (let i = 0; i < batch; i++) {
    const flip = random.uniform() < recipe.flipProbability;
    crops.push({ flip, ...drawCrop(random, recipe, size) });
    if (random.uniform() < recipe.noiseProbability) {
      const start = i * 3 * out * out;
      for (let k = 0; k < 3 * out * out; k++) {
        noise[start + k] = recipe.noiseMean + recipe.noiseStd * random.normal();
      }
    }
  }
  return { crops, noise };
}

/** Interpolation matrices of a batch's crops: A_y [batch, out, size] of the rows, A_xᵀ [batch, size, out] of the columns. */
export function cropMatrices(
  crops: readonly Crop[],
  size: number,
  out: number,
): { rows: Float32Array; columns: Float32Array } {
  const rows = new Float32Array(crops.length * out * size);
  const columns = new Float32Array(crops.length * size * out);
  for (const [i, { flip, top, left, height, width }] of crops.entries()) {
    rows.set(cropMatrix(out, size, top, height, false), i * out * size);
    const across = cropMatrix(out, size, left, width, flip);
    const at = i * size * out;
    for (let r = 0; r < out; r++)
      for (let c = 0; c < size; c++) columns[at + c * out + r] = across[r * size + c]!;
  }
  return { rows, columns };
}

/** A crop of random area and aspect within a square image (torchvision's RandomResizedCrop: ten tries, then all). */
function drawCrop(random: Random, recipe: AugmentationRecipe, size: number): Omit<Crop, "flip"> {
  const [low, high] = recipe.scale;
  const [narrow, wide] = recipe.ratio.map(Math.log) as [number, number];
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = size * size * (low + (high - low) * random.uniform());
    const ratio = Math.exp(narrow + (wide - narrow) * random.uniform());
    const width = Math.round(Math.sqrt(area * ratio));
    const height = Math.round(Math.sqrt(area / ratio));
    if (width < 1 || height < 1 || width > size || height > size) continue;
    return { top: random.below(size - height + 1), left: random.below(size - width + 1), height, width };
  }
  return { top: 0, left: 0, height: size, width: size };
}
