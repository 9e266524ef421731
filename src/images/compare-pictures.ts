import { resample } from "./resample.ts";
import type { RgbImage } from "./types.ts";

/** Side of what is compared, in pixels. */
const side = 32;
const pixels = side * side;
/** Views of a picture: the whole, and its middle without so many pixels a side: 2 of 36 (5.6 %) and 4 of 40 (10 %). */
const margins = [0, 2, 4] as const;
/** Side of the blocks in which two views may not differ much. */
const block = 4;
/** Standard deviation over the picture, of 255, under which it has no structure to compare. */
const leastDeviation = 4;
/** Pictures whose widths by heights differ by a larger factor are not compared. */
const mostStretch = 1.1;
/** Of two pictures that differ more in contrast, one is more than a brighter copy of the other: a gray square of a black one. */
const mostContrast = 3;
/** Gain in correlation for which a less simple alignment is taken. */
const gain = 0.001;

/** Pixels of the shorter edge of a picture that suffice for its views. */
export const enoughForViews = 4 * side;

/** A picture, small, as it is compared with others: about 9 kB. */
export interface PictureViews {
  /** Width by height of the picture. */
  readonly aspect: number;
  /** The views one after the other, each 3 × 32 × 32, planar. */
  readonly data: Uint8Array;
  readonly statistics: readonly ViewStatistics[];
}

interface ViewStatistics {
  /** Sum of each channel. */
  readonly sums: readonly [number, number, number];
  /** Norms of the values less their mean over all channels, and less that of their own channel. */
  readonly norm: number;
  readonly normInChannels: number;
}

/** How two pictures are to be laid over each other to agree best. */
export type Alignment = "as they are" | "mirrored" | "cropped" | "mirrored and cropped";

/** How far two pictures agree. */
export interface PictureAgreement {
  /** Normalized correlation at the best alignment. */
  readonly correlation: number;
  readonly alignment: Alignment;
  /**
   * Mean squared difference in the block of 4 × 4 pixels where it is largest, both pictures with mean 0 and variance 1; over the whole
   * picture it is 2 (1 − correlation).
   */
  readonly worst: number;
}

/** The simplest first. */
const alignments: readonly {
  readonly name: Alignment;
  readonly mirrored: boolean;
  /** Views of both pictures. */
  readonly views: readonly [number, number];
}[] = [
  ...[false, true].map(
    (mirrored) => ({ name: mirrored ? "mirrored" : "as they are", mirrored, views: [0, 0] }) as const,
  ),
  ...[false, true].flatMap((mirrored) =>
    margins.slice(1).flatMap((_, k) => {
      const name = mirrored ? "mirrored and cropped" : "cropped";
      return [{ name, mirrored, views: [k + 1, 0] } as const, { name, mirrored, views: [0, k + 1] } as const];
    }),
  ),
];

/** The views of a picture, or undefined for one without structure, such as a plain color: its brightness and color alone say little. */
export function viewsOf(image: RgbImage): PictureViews | undefined {
  const data = new Uint8Array(margins.length * 3 * pixels);
  const statistics: ViewStatistics[] = [];
  for (const [k, margin] of margins.entries()) {
    const size = side + 2 * margin;
    const window = { left: margin, top: margin, width: side, height: side };
    const view = resample(image, size, size, "bilinear", window);
    data.set(view, k * 3 * pixels);
    statistics.push(statisticsOf(view));
  }
  if (!hasStructure(statistics[0])) return undefined;
  return { aspect: image.width / image.height, data, statistics };
}

function statisticsOf(view: Uint8Array): ViewStatistics {
  const sums: [number, number, number] = [0, 0, 0];
  let squares = 0;
  for (let k = 0; k < view.length; k++) {
    sums[Math.floor(k / pixels)] += view[k];
    squares += view[k] * view[k];
  }
  const sum = sums[0] + sums[1] + sums[2];
  const inChannels = (sums[0] ** 2 + sums[1] ** 2 + sums[2] ** 2) / pixels;
  return {
    sums,
    norm: Math.sqrt(Math.max(0, squares - sum ** 2 / (3 * pixels))),
    normInChannels: Math.sqrt(Math.max(0, squares - inChannels)),
  };
}

const hasStructure = ({ normInChannels }: ViewStatistics): boolean =>
  normInChannels >= leastDeviation * Math.sqrt(3 * pixels);

/** The same picture mirrored left to right. */
export function mirroredViews({ aspect, data, statistics }: PictureViews): PictureViews {
  const mirrored = new Uint8Array(data.length);
  for (let row = 0; row < data.length; row += side) {
    for (let x = 0; x < side; x++) mirrored[row + x] = data[row + side - 1 - x];
  }
  return { aspect, data: mirrored, statistics };
}

/**
 * How far two pictures agree at the best of a few alignments: as they are, mirrored, and one cropped against the other.
 * Brightness of a whole picture does not matter, nor contrast up to a factor of 3; its colors do. Undefined where their aspects differ.
 * @param mirrored the first, mirrored; to be made once where it is compared with many
 */
export function comparePictures(
  first: PictureViews,
  second: PictureViews,
  mirrored: PictureViews = mirroredViews(first),
): PictureAgreement | undefined {
  if (Math.abs(Math.log(first.aspect / second.aspect)) > Math.log(mostStretch)) return undefined;
  let best = { correlation: -1, alignment: alignments[0] };
  for (const alignment of alignments) {
    const own = alignment.mirrored ? mirrored : first;
    const correlation = correlationOf(own, alignment.views[0], second, alignment.views[1]);
    if (correlation > best.correlation + (best.correlation > -1 ? gain : 0))
      best = { correlation, alignment };
  }
  const { correlation, alignment } = best;
  const own = alignment.mirrored ? mirrored : first;
  const worst = worstBlock(own, alignment.views[0], second, alignment.views[1]);
  return { correlation, alignment: alignment.name, worst };
}

/**
 * The lower of two correlations: of values less their mean over all channels, and less that of their own channel. By the first alone,
 * two pictures of the same strong tint would be alike; by the second, two tints of the same picture.
 */
function correlationOf(a: PictureViews, viewA: number, b: PictureViews, viewB: number): number {
  const [own, other] = [a.statistics[viewA], b.statistics[viewB]];
  if (!hasStructure(own) || !hasStructure(other)) return -1;
  if (Math.max(own.norm, other.norm) > mostContrast * Math.min(own.norm, other.norm)) return -1;
  const products = product(a.data, viewA * 3 * pixels, b.data, viewB * 3 * pixels);
  const [p, q] = [own.sums, other.sums];
  const all = products - ((p[0] + p[1] + p[2]) * (q[0] + q[1] + q[2])) / (3 * pixels);
  const inChannels = products - (p[0] * q[0] + p[1] * q[1] + p[2] * q[2]) / pixels;
  return Math.min(all / (own.norm * other.norm), inChannels / (own.normInChannels * other.normInChannels));
}

function product(a: Uint8Array, i: number, b: Uint8Array, j: number): number {
  let sum = 0;
  for (let k = 0; k < 3 * pixels; k++) sum += a[i + k] * b[j + k];
  return sum;
}

/** The largest mean squared difference of a block, both views with mean 0 and variance 1 over all channels. */
function worstBlock(a: PictureViews, viewA: number, b: PictureViews, viewB: number): number {
  const [i, j] = [viewA * 3 * pixels, viewB * 3 * pixels];
  const scale = ({ norm }: ViewStatistics) => Math.sqrt(3 * pixels) / norm;
  const mean = ({ sums }: ViewStatistics) => (sums[0] + sums[1] + sums[2]) / (3 * pixels);
  const [own, other] = [a.statistics[viewA], b.statistics[viewB]];
  const [scaleA, scaleB] = [scale(own), scale(other)];
  const shift = scaleA * mean(own) - scaleB * mean(other);
  let worst = 0;
  for (let top = 0; top < side; top += block) {
    for (let left = 0; left < side; left += block) {
      let sum = 0;
      for (let channel = 0; channel < 3; channel++) {
        for (let y = top; y < top + block; y++) {
          const row = channel * pixels + y * side;
          for (let k = row + left; k < row + left + block; k++) {
            const difference = scaleA * a.data[i + k] - scaleB * b.data[j + k] - shift;
            sum += difference * difference;
          }
        }
      }
      worst = Math.max(worst, sum);
    }
  }
  return worst / (3 * block * block);
}
