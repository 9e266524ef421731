import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import type { Random } from "../random.ts";
import { cropMatrix, lowPassed, writeCropMatrix } from "./interpolation.ts";

/** Random resized crop, flip, noise and loss of detail. */
export interface AugmentationRecipe {
  /** Share of the image's area that a crop covers. */
  readonly scale: readonly [number, number];
  /** Width over height of a crop. */
  readonly ratio: readonly [number, number];
  readonly flipProbability: number;
  /** Whether a draw mirrors all images or none, as sets are mirrored, instead of each by itself. */
  readonly flipsAlike: boolean;
  readonly noiseProbability: number;
  readonly noiseMean: number;
  readonly noiseStd: number;
  /**
   * Share of the draws whose images lose their finest detail (`lowPassed`), all images of a draw alike. They lose nothing
   * else: neither cropped nor noisy, they are what half size and back leaves of the images.
   */
  readonly lowPassProbability: number;
}

/** LGM's published recipe (arXiv 2511.16674; "DSA" there). */
const lgmAugmentation: AugmentationRecipe = {
  scale: [0.08, 1],
  ratio: [3 / 4, 4 / 3],
  flipProbability: 0.5,
  flipsAlike: false,
  noiseProbability: 0.5,
  noiseMean: 0.5,
  noiseStd: 0.2,
  lowPassProbability: 0,
};

/** Flip and crop alone: what images are augmented with when probes are trained on them, too. */
export const geometricAugmentation: AugmentationRecipe = { ...lgmAugmentation, noiseProbability: 0 };

/** What images go through when they are stored and loaded: little is cut off, and the noise leaves the brightness. */
const moderateAugmentation: AugmentationRecipe = {
  ...lgmAugmentation,
  scale: [0.5, 1],
  ratio: [1 / 1.1, 1.1],
  flipsAlike: true,
  noiseProbability: 1,
  noiseMean: 0,
  noiseStd: 0.04,
};

const recipes = {
  lgm: lgmAugmentation,
  geometric: geometricAugmentation,
  moderate: moderateAugmentation,
} as const;

type AugmentationName = keyof typeof recipes;
export const augmentationNames = Object.keys(recipes) as [AugmentationName, ...AugmentationName[]];

/** What a configuration says of its augmentation. */
export interface AugmentationSettings {
  /** LGM's where nothing is said. */
  readonly augmentation?: AugmentationName | undefined;
  /** Standard deviation of noise around 0, in every draw. */
  readonly noise?: number | undefined;
  /** Least share of the area that a crop covers. */
  readonly cropArea?: number | undefined;
  readonly lowPass?: number;
  readonly mirror?: boolean | undefined;
}

/** The recipe by its name, with what is set otherwise. */
export function augmentationOf(settings: AugmentationSettings): AugmentationRecipe {
  const { augmentation = "lgm", noise, cropArea, lowPass = 0, mirror = true } = settings;
  const recipe = recipes[augmentation];
  return {
    ...recipe,
    ...(noise === undefined ? {} : { noiseProbability: noise > 0 ? 1 : 0, noiseMean: 0, noiseStd: noise }),
    scale: [cropArea ?? recipe.scale[0], 1],
    lowPassProbability: lowPass,
    flipProbability: mirror ? recipe.flipProbability : 0,
  };
}

/** The part of an image that is taken, in pixels, and whether it is mirrored. */
export interface Crop {
  readonly flip: boolean;
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** How one image is augmented. */
export interface ImageDraw {
  readonly crop: Crop;
  /** Where the image's noise starts in the table of normal numbers; undefined without noise. */
  readonly noiseAt: number | undefined;
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

/**
 * Draws how one image is augmented.
 * @param noiseStarts places in the table of normal numbers from where an image's noise can be read
 */
export function drawAugmentation(
  random: Random,
  recipe: AugmentationRecipe,
  size: number,
  noiseStarts: number,
): ImageDraw {
  const flip = random.uniform() < recipe.flipProbability;
  const crop = { flip, ...drawCrop(random, recipe, size) };
  const noisy = random.uniform() < recipe.noiseProbability;
  return { crop, noiseAt: noisy ? random.below(noiseStarts) : undefined };
}

/**
 * Interpolation matrices of a batch's crops: A_y [batch, out, size] of the rows, A_xᵀ [batch, size, out] of the columns.
 * @param lowPass whether what they give is also low-passed, which costs nothing more when they are applied
 * @param into where they are written, default new memory
 */
export function cropMatrices(
  crops: readonly Crop[],
  size: number,
  out: number,
  lowPass: boolean,
  into: CropMatrices = emptyCropMatrices(crops.length, size, out),
): CropMatrices {
  const { rows, columns } = into;
  if (!lowPass) {
    rows.fill(0);
    columns.fill(0);
  }
  for (const [i, { flip, top, left, height, width }] of crops.entries()) {
    const at = i * size * out;
    if (!lowPass) {
      writeCropMatrix(rows.subarray(at, at + out * size), size, 1, out, size, top, height, false);
      writeCropMatrix(columns.subarray(at, at + size * out), 1, out, out, size, left, width, flip);
      continue;
    }
    rows.set(lowPassed(cropMatrix(out, size, top, height, false), out, size), at);
    const across = lowPassed(cropMatrix(out, size, left, width, flip), out, size);
    for (let r = 0; r < out; r++)
      for (let c = 0; c < size; c++) columns[at + c * out + r] = across[r * size + c];
  }
  return into;
}

/** A_y and A_xᵀ of some images. */
export interface CropMatrices {
  readonly rows: Float32Array;
  readonly columns: Float32Array;
}

export const emptyCropMatrices = (count: number, size: number, out: number): CropMatrices => ({
  rows: new Float32Array(count * out * size),
  columns: new Float32Array(count * size * out),
});

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
  return whole(size);
}

/** All of a square image. */
export const whole = (size: number): Omit<Crop, "flip"> => ({ top: 0, left: 0, height: size, width: size });
