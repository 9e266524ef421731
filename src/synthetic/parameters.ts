import { type Random, seededRandom } from "../random.ts";
import { type AdamBlock, adamBlock } from "./adam.ts";
import { inverseColorMatrix } from "./color.ts";
import { pyramidSizes } from "./render.ts";

export type Parametrization = "pyramid" | "pixels";

/** One level of all m images: values [m, 3, side, side] with Adam's moments. */
export interface Level extends AdamBlock {
  readonly side: number;
}

/** The parameters of some consecutive synthetic images, and Adam's state. Memory grows with the levels in use. */
export interface SyntheticParameters {
  readonly parametrization: Parametrization;
  /** Number of the first image in its set: an image's random numbers depend on its number alone. */
  readonly first: number;
  /** Images. */
  readonly count: number;
  /** Side of the rendered images. */
  readonly size: number;
  /** Levels in use, coarsest first. */
  readonly levels: Level[];
  /** Adam steps since the moments were last zero. */
  adamSteps: number;
}

/** Starts at the 1 × 1 level (pyramid) or the whole image (pixels), from noise. */
export function noiseParameters(
  parametrization: Parametrization,
  count: number,
  size: number,
  seed: number,
  first = 0,
): SyntheticParameters {
  const start = { parametrization, first, count, size, adamSteps: 0 };
  if (parametrization === "pixels") {
    const values = noise(first, count, 3 * size * size, seed, 0, (random) =>
      Math.min(1, Math.max(0, 0.5 + 0.2 * random.normal())),
    );
    return { ...start, levels: [{ side: size, ...adamBlock(values) }] };
  }
  const parameters: SyntheticParameters = { ...start, levels: [] };
  addLevel(parameters, seed);
  return parameters;
}

/** `length` numbers for each image, from a stream for each image and level. */
function noise(
  first: number,
  count: number,
  length: number,
  seed: number,
  level: number,
  draw: (random: Random) => number,
): Float32Array {
  const values = new Float32Array(count * length);
  for (let i = 0; i < count; i++) {
    const random = seededRandom(seed, `level ${level} ${first + i}`);
    for (let k = 0; k < length; k++) values[i * length + k] = draw(random);
  }
  return values;
}

/**
 * Starts at given images, [m, 3, size, size] in [0, 1]: as pixels, or as a pyramid whose finest level holds
 * the inverse of the rendering and whose coarser levels are zero.
 */
export function parametersFromImages(
  parametrization: Parametrization,
  images: Float32Array,
  count: number,
  size: number,
): SyntheticParameters {
  if (parametrization === "pixels") {
    const levels = [{ side: size, ...adamBlock(images.slice()) }];
    return { parametrization, first: 0, count, size, levels, adamSteps: 0 };
  }
  const inverse = inverseColorMatrix();
  const pixels = size * size;
  const finest = new Float32Array(images.length);
  for (let i = 0; i < count; i++) {
    for (let p = 0; p < pixels; p++) {
      // image = sigmoid(2·D·x): x = D⁻¹ logit(image) / 2, away from the ends where the logit is infinite.
      const half = [0, 1, 2].map((c) => {
        const value = Math.min(0.99, Math.max(0.01, images[(i * 3 + c) * pixels + p]));
        return Math.log(value / (1 - value)) / 2;
      });
      for (let c = 0; c < 3; c++) {
        finest[(i * 3 + c) * pixels + p] =
          inverse[c * 3] * half[0] + inverse[c * 3 + 1] * half[1] + inverse[c * 3 + 2] * half[2];
      }
    }
  }
  const levels = pyramidSizes(size).map((side) => ({
    side,
    ...adamBlock(side === size ? finest : new Float32Array(count * 3 * side * side)),
  }));
  return { parametrization, first: 0, count, size, levels, adamSteps: 0 };
}

/** Levels that images of side `size` have in the end. */
export const levelCount = (parametrization: Parametrization, size: number): number =>
  parametrization === "pyramid" ? pyramidSizes(size).length : 1;

/**
 * Adds the next finer level ~ N(0, 1)/(L + 1), scales the L old ones by L/(L + 1) and resets Adam
 * (the schedule of LGM, arXiv 2511.16674).
 */
export function addLevel(parameters: SyntheticParameters, seed: number): void {
  const { levels, first, count, size } = parameters;
  const side = pyramidSizes(size)[levels.length];
  if (side === undefined) throw new RangeError("every level of the pyramid is in use");
  const total = levels.length + 1;
  for (const level of levels) {
    const keep = levels.length / total;
    for (let i = 0; i < level.values.length; i++) level.values[i] *= keep;
    level.first.fill(0);
    level.second.fill(0);
  }
  const values = noise(
    first,
    count,
    3 * side * side,
    seed,
    levels.length,
    (random) => random.normal() / total,
  );
  levels.push({ side, ...adamBlock(values) });
  parameters.adamSteps = 0;
}

/** The parameters of `count` images from number `start` on, as copies. */
export function partOf(whole: SyntheticParameters, start: number, count: number): SyntheticParameters {
  const { levels, first, ...rest } = whole;
  return {
    ...rest,
    first: first + start,
    count,
    levels: levels.map(({ side, ...block }) => {
      const stride = 3 * side * side;
      const cut = (values: Float32Array) => values.slice(start * stride, (start + count) * stride);
      return { side, values: cut(block.values), first: cut(block.first), second: cut(block.second) };
    }),
  };
}

/** The parameters of consecutive parts as one. All have the same levels. */
export function joined(parts: readonly SyntheticParameters[]): SyntheticParameters {
  const [{ levels, ...rest }] = parts as [SyntheticParameters];
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  return {
    ...rest,
    count,
    levels: levels.map(({ side }, l) => {
      const whole = (name: keyof AdamBlock) => {
        const out = new Float32Array(count * 3 * side * side);
        let at = 0;
        for (const part of parts) {
          out.set(part.levels[l][name], at);
          at += part.levels[l][name].length;
        }
        return out;
      };
      return { side, values: whole("values"), first: whole("first"), second: whole("second") };
    }),
  };
}
