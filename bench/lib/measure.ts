/** Timing in turn, and the arithmetic of its results. */

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Milliseconds that `work` takes. */
export async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** One of several ways of doing the same; gives the milliseconds it took, by its own clock. */
export type Timed = () => Promise<number>;

export interface Turns {
  /** Rounds before the first that counts. Default 1. */
  readonly warmUp?: number;
  readonly least?: number;
  readonly most?: number;
  /** No further round is begun after this many seconds, once there are `least`. */
  readonly seconds?: number;
}

/** Runs all sides in turn (A B A B …) and gives the times of each, one a round. */
export async function inTurn<Side extends string>(
  sides: Readonly<Record<Side, Timed>>,
  { warmUp = 1, least = 3, most = 9, seconds = 10 }: Turns = {},
): Promise<Record<Side, number[]>> {
  const names = Object.keys(sides) as Side[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Side, number[]>;
  for (let i = 0; i < warmUp; i++) for (const name of names) await sides[name]();
  const start = performance.now();
  for (let round = 0; round < most; round++) {
    if (round >= least && performance.now() - start > 1000 * seconds) break;
    for (const name of names) {
      times[name].push(await sides[name]());
      // Worker threads spin for a moment after their last task; the next side is to find them asleep.
      await new Promise((done) => setTimeout(done, 10));
    }
  }
  return times;
}

/** ‖a − b‖ / ‖b‖. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} numbers cannot be compared with ${b.length}`);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

/**
 * That of the image in which it is smallest: in others a unit that is at a kink (of ReLU6, say) falls to the one
 * side here and to the other there, as it does between PyTorch's own float32 and float64.
 */
export function leastError(ours: Float32Array, theirs: Float32Array, images: number): number {
  const pixels = ours.length / images;
  const of = (values: Float32Array, i: number) => values.subarray(i * pixels, (i + 1) * pixels);
  return Math.min(...Array.from({ length: images }, (_, i) => relativeError(of(ours, i), of(theirs, i))));
}

/** The exponent p of the power law y ≈ c·xᵖ through the points, by least squares on the logarithms. */
export function fittedExponent(points: readonly { readonly x: number; readonly y: number }[]): number {
  const logs = points.map(({ x, y }) => [Math.log(x), Math.log(y)] as const);
  const mean = (k: 0 | 1) => logs.reduce((sum, pair) => sum + pair[k], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  let covariance = 0;
  let variance = 0;
  for (const [x, y] of logs) {
    covariance += (x - mx) * (y - my);
    variance += (x - mx) ** 2;
  }
  return covariance / variance;
}
