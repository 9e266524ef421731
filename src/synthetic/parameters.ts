import type { Random } from "../random.ts";
import { type AdamBlock, adamBlock } from "./adam.ts";
import { inverseColorMatrix } from "./color.ts";
import { pyramidSizes } from "./render.ts";

export type Parametrization = "pyramid" | "pixels";

/** One level of all m images: values [m, 3, side, side] with Adam's moments. */
export interface Level extends AdamBlock {
  readonly side: number;
}

/** The parameters of m synthetic images, and Adam's state. Memory grows with the levels in use. */
export interface SyntheticParameters {
  readonly parametrization: Parametrization;
  /** m. */
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
  random: Random,
): SyntheticParameters {
  if (parametrization === "pixels") {
    const values = new Float32Array(count * 3 * size * size);
    for (let i = 0; i < values.length; i++) values[i] = Math.min(1, Math.max(0, 0.5 + 0.2 * random.normal()));
    return { parametrization, count, size, levels: [{ side: size, ...adamBlock(values) }], adamSteps: 0 };
  }
  const parameters: SyntheticParameters = { parametrization, count, size, levels: [], adamSteps: 0 };
  addLevel(parameters, random);
  return parameters;
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
    return {
      parametrization,
      count,
      size,
      levels: [{ side: size, ...adamBlock(images.slice()) }],
      adamSteps: 0,
    };
  }
  const inverse = inverseColorMatrix();
  const pixels = size * size;
  const finest = new Float32Array(images.length);
  for (let i = 0; i < count; i++) {
    for (let p = 0; p < pixels; p++) {
      // image = sigmoid(2·D·x): x = D⁻¹ logit(image) / 2, away from the ends where the logit is infinite.
      const half = [0, 1, 2].map((c) => {
        const value = Math.min(0.99, Math.max(0.01, images[(i * 3 + c) * pixels + p]!));
        return Math.log(value / (1 - value)) / 2;
      });
      for (let c = 0; c < 3; c++) {
        finest[(i * 3 + c) * pixels + p] =
          inverse[c * 3]! * half[0]! + inverse[c * 3 + 1]! * half[1]! + inverse[c * 3 + 2]! * half[2]!;
      }
    }
  }
  const levels = pyramidSizes(size).map((side) => ({
    side,
    ...adamBlock(side === size ? finest : new Float32Array(count * 3 * side * side)),
  }));
  return { parametrization, count, size, levels, adamSteps: 0 };
}

/** Whether the pyramid has levels that are not in use yet. */
export function canGrow(parameters: SyntheticParameters): boolean {
  return (
    parameters.parametrization === "pyramid" &&
    parameters.levels.length < pyramidSizes(parameters.size).length
  );
}

/**
 * Adds the next finer level ~ N(0, 1)/(L + 1), scales the L old ones by L/(L + 1) and resets Adam
 * (the schedule of LGM, arXiv 2511.16674).
 */
export function addLevel(parameters: SyntheticParameters, random: Random): void {
  const { levels, count, size } = parameters;
  const side = pyramidSizes(size)[levels.length];
  if (side === undefined) throw new RangeError("every level of the pyramid is in use");
  const total = levels.length + 1;
  for (const level of levels) {
    const keep = levels.length / total;
    for (let i = 0; i < level.values.length; i++) level.values[i]! *= keep;
    level.first.fill(0);
    level.second.fill(0);
  }
  const values = new Float32Array(count * 3 * side * side);
  for (let i = 0; i < values.length; i++) values[i] = random.normal() / total;
  levels.push({ side, ...adamBlock(values) });
  parameters.adamSteps = 0;
}
