import { type FeatureRows, sequentialBatches } from "../data/feature-rows.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";

/** The real side of a step: rows of the cached features after each feature map. */
export interface RealBatches {
  /** Begins to read rows that will be asked for; the caller does not wait. */
  readAhead(indices: Int32Array): void;
  /** The rows after map `k`, n × d, in memory that the next call for the same map reuses. */
  batch(k: number, indices: Int32Array): Promise<Matrix>;
}

/**
 * Batches of `real` after `maps`. Mapped features are kept, in double, where all of them take at most `memoryBytes`;
 * elsewhere each batch is read and mapped when it is asked for.
 */
export async function openRealBatches(
  real: FeatureRows,
  maps: readonly FeatureMap[],
  memoryBytes = 0,
): Promise<RealBatches> {
  const d = real.featureSize;
  if (maps.length * real.count * d * 8 > memoryBytes) {
    return {
      readAhead: (indices) => real.readAhead?.(indices),
      async batch(k, indices) {
        const rows = new Float32Array(indices.length * d);
        await real.rows(indices, rows);
        return maps[k]!.apply(rows, indices.length).values;
      },
    };
  }
  const kept = await mapAll(real, maps);
  const buffers: Matrix[] = [];
  return {
    readAhead() {},
    async batch(k, indices) {
      const from = kept[k]!.data;
      if (buffers[k]?.rows !== indices.length) buffers[k] = matrix(indices.length, d);
      const to = buffers[k]!;
      for (const [i, row] of indices.entries()) to.data.set(from.subarray(row * d, (row + 1) * d), i * d);
      return to;
    },
  };
}

async function mapAll(real: FeatureRows, maps: readonly FeatureMap[]): Promise<Matrix[]> {
  const d = real.featureSize;
  const all = maps.map(() => matrix(real.count, d));
  for await (const { features, indices } of sequentialBatches(real)) {
    for (const [k, map] of maps.entries()) {
      all[k]!.data.set(map.apply(features, indices.length).values.data, indices[0]! * d);
    }
  }
  return all;
}
