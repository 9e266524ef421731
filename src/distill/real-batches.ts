import { type BatchRows, type FeatureProduct, inverseNorms, mappedRows } from "../probe/batch-rows.ts";
import { type FeatureMap, unitRows } from "../probe/feature-map.ts";
import { GatheredProducts } from "../probe/gathered-products.ts";
import type { FeatureRows } from "../probe/rows.ts";

/** The real side of a step: rows of the cached features after each feature map. */
export interface RealBatches {
  /** Begins to read rows that will be asked for; the caller does not wait. */
  readAhead(indices: Int32Array): void;
  /**
   * The rows after each map, to be used before the next call, for several evaluations side by side: their products with
   * the rows are computed together.
   * @param evaluations how many there are; each calls `done` at its end
   */
  batch(indices: Int32Array, evaluations: number): Promise<RealBatch>;
}

export interface RealBatch {
  /** One for each map. */
  readonly rows: readonly BatchRows[];
  done(): void;
}

/**
 * Batches of `real` after `maps`, multiplied by `product`. One batch is kept as it is cached, and for each map the norms of the
 * rows that were met.
 */
export function openRealBatches(
  real: FeatureRows,
  maps: readonly FeatureMap[],
  product: FeatureProduct,
): RealBatches {
  const d = real.featureSize;
  const norms = maps.map((map) => new Norms(map, real.count));
  let rows = new Float32Array(0);
  return {
    readAhead: (indices) => real.readAhead?.(indices),
    async batch(indices, evaluations) {
      if (rows.length !== indices.length * d) rows = new Float32Array(indices.length * d);
      await real.rows(indices, rows);
      const gathered = new GatheredProducts(product, evaluations);
      return {
        rows: maps.map((map, k) =>
          mappedRows(map, rows, indices.length, norms[k].of(indices, rows), gathered.product),
        ),
        done: () => gathered.done(),
      };
    },
  };
}

/** One over the norm of each row after a map, computed when a row is first met. */
class Norms {
  private readonly map: FeatureMap;
  private readonly known: Float64Array | undefined;

  constructor(map: FeatureMap, count: number) {
    this.map = map;
    if (unitRows(map.normalization)) this.known = new Float64Array(count).fill(Number.NaN);
  }

  of(indices: Int32Array, rows: Float32Array): Float64Array | undefined {
    const { known } = this;
    if (known === undefined) return undefined;
    const d = rows.length / indices.length;
    return Float64Array.from(indices, (index, i) => {
      if (Number.isNaN(known[index])) {
        known[index] = inverseNorms(this.map, rows.subarray(i * d, (i + 1) * d), 1)![0]!;
      }
      return known[index];
    });
  }
}
