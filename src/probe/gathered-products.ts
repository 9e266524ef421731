import type { FeatureProduct } from "./batch-rows.ts";
import { type Matrix, matrix } from "./matrix.ts";

interface Asked {
  readonly features: Float32Array;
  readonly rows: number;
  readonly factor: Matrix;
  readonly transposed: boolean;
  resolve(product: Matrix): void;
  reject(error: unknown): void;
}

/**
 * Products with the same features that several evaluations ask for side by side, computed as one: the features are read,
 * and laid out for it, once. A product is computed when every evaluation that is under way waits for one.
 */
export class GatheredProducts {
  readonly #compute: FeatureProduct;
  #underWay: number;
  #asked: Asked[] = [];

  /** @param evaluations how many ask; each calls `done` at its end */
  constructor(compute: FeatureProduct, evaluations: number) {
    this.#compute = compute;
    this.#underWay = evaluations;
  }

  readonly product: FeatureProduct = (features, rows, factor, transposed) =>
    new Promise((resolve, reject) => {
      this.#asked.push({ features, rows, factor, transposed, resolve, reject });
      this.#computeWhenAllWait();
    });

  /** One of the evaluations has ended, or failed. */
  done(): void {
    this.#underWay--;
    this.#computeWhenAllWait();
  }

  #computeWhenAllWait(): void {
    if (this.#asked.length < this.#underWay) return;
    const asked = this.#asked;
    this.#asked = [];
    for (const transposed of [false, true]) {
      const alike = asked.filter((one) => one.transposed === transposed);
      if (alike.length > 0) void this.#together(alike);
    }
  }

  async #together(alike: readonly Asked[]): Promise<void> {
    const [{ features, rows, transposed }] = alike;
    try {
      const factors = alike.map(({ factor }) => factor);
      const product = await this.#compute(features, rows, sideBySide(factors), transposed);
      let from = 0;
      for (const { factor, resolve } of alike) {
        resolve(columns(product, from, factor.cols));
        from += factor.cols;
      }
    } catch (error) {
      for (const { reject } of alike) reject(error);
    }
  }
}

/** [a b …] */
function sideBySide(all: readonly Matrix[]): Matrix {
  if (all.length === 1) return all[0];
  const { rows } = all[0];
  const out = matrix(
    rows,
    all.reduce((sum, { cols }) => sum + cols, 0),
  );
  let at = 0;
  for (const { cols, data } of all) {
    for (let i = 0; i < rows; i++) out.data.set(data.subarray(i * cols, (i + 1) * cols), i * out.cols + at);
    at += cols;
  }
  return out;
}

function columns(all: Matrix, from: number, count: number): Matrix {
  if (count === all.cols) return all;
  const out = matrix(all.rows, count);
  for (let i = 0; i < all.rows; i++) {
    const at = i * all.cols + from;
    out.data.set(all.data.subarray(at, at + count), i * count);
  }
  return out;
}
