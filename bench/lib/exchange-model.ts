/** The model of an exchange of features, fitted to measurements, and what it says of runs that were not measured. */

/** A measured exchange: images, numbers per feature vector, workers, shards and the time. */
export interface ExchangePoint {
  readonly m: number;
  readonly d: number;
  readonly workers: number;
  readonly shards: number;
  readonly milliseconds: number;
}

/** Milliseconds = perStep + perShard · shards + perMegabyte · MB that the server takes in and gives out. */
export interface ExchangeModel {
  readonly perStep: number;
  readonly perShard: number;
  readonly perMegabyte: number;
}

/** Megabytes through the server in one step: the features once in, and once out to every worker. */
export const megabytes = ({ m, d, workers }: Pick<ExchangePoint, "m" | "d" | "workers">): number =>
  (4 * m * d * (1 + workers)) / 1e6;

/** Least squares on relative errors, with no coefficient below zero. */
export function fitExchange(points: readonly ExchangePoint[]): ExchangeModel {
  const rows = points.map((point) =>
    [1, point.shards * point.workers, megabytes(point)].map((value) => value / point.milliseconds),
  );
  let active = [0, 1, 2];
  for (;;) {
    const solution = leastSquares(rows.map((row) => active.map((i) => row[i])));
    const negative = active.filter((_, k) => solution[k] < 0);
    if (negative.length === 0) {
      const of = (i: number) => solution[active.indexOf(i)] ?? 0;
      return { perStep: of(0), perShard: of(1), perMegabyte: of(2) };
    }
    active = active.filter((i) => !negative.includes(i));
  }
}

export const predicted = (model: ExchangeModel, point: Omit<ExchangePoint, "milliseconds">): number =>
  model.perStep + model.perShard * point.shards * point.workers + model.perMegabyte * megabytes(point);

/** x that minimizes ‖A x − 1‖, by the normal equations. */
function leastSquares(rows: readonly (readonly number[])[]): number[] {
  const n = rows[0].length;
  const system = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
    rows.reduce((sum, row) => sum + row[i], 0),
  ]);
  for (let i = 0; i < n; i++) {
    const pivot = system.slice(i).reduce((best, row) => (Math.abs(row[i]) > Math.abs(best[i]) ? row : best));
    system.splice(system.indexOf(pivot), 1, system[i]);
    system[i] = pivot;
    for (const row of system) {
      if (row === pivot) continue;
      const factor = row[i] / pivot[i];
      for (let j = i; j <= n; j++) row[j] -= factor * pivot[j];
    }
  }
  return system.map((row, i) => row[n] / row[i]);
}

/** FLOP of one image's way through a ViT-B/16 of 224 px and back to its pixels: products alone, the way back twice. */
export function vitB16Flop(): number {
  const [tokens, width, layers, patch] = [197, 768, 12, 3 * 16 * 16];
  const block = 24 * tokens * width ** 2 + 4 * tokens ** 2 * width;
  return 3 * (layers * block + 2 * 196 * patch * width);
}
