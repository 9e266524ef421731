import { describe, expect, it } from "vitest";
import type { FeatureProduct } from "../../src/probe/batch-rows.ts";
import { GatheredProducts } from "../../src/probe/gathered-products.ts";
import { jsProduct } from "../../src/probe/gemm.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { seededRandom } from "../../src/random.ts";

const random = seededRandom(0, "gathered");
const [rows, d] = [6, 5];
const features = Float32Array.from({ length: rows * d }, () => random.normal());
const X = matrix(rows, d, Float64Array.from(features));
const numbers = (r: number, c: number): Matrix =>
  matrix(
    r,
    c,
    Float64Array.from({ length: r * c }, () => random.normal()),
  );

/** Counts what is computed. */
function counted() {
  const widths: number[] = [];
  const compute: FeatureProduct = async (_, __, factor, transposed) => {
    widths.push(factor.cols);
    return jsProduct(X, factor, { transA: transposed });
  };
  return { widths, compute };
}

describe("products that are asked for side by side", () => {
  it("are computed as one, and each gets its own columns", async () => {
    const { widths, compute } = counted();
    const gathered = new GatheredProducts(compute, 3);
    const factors = [numbers(d, 2), numbers(d, 1), numbers(d, 4)];
    const products = await Promise.all(
      factors.map((factor) => gathered.product(features, rows, factor, false)),
    );
    expect(widths).toEqual([7]);
    for (const [i, product] of products.entries()) {
      const alone = jsProduct(X, factors[i]!);
      expect([product.rows, product.cols]).toEqual([alone.rows, alone.cols]);
      for (const [k, value] of product.data.entries()) expect(value).toBeCloseTo(alone.data[k]!, 12);
    }
  });

  it("wait for nobody who has ended or failed", async () => {
    const { widths, compute } = counted();
    const gathered = new GatheredProducts(compute, 3);
    const first = gathered.product(features, rows, numbers(rows, 2), true);
    gathered.done();
    expect(widths).toEqual([]);
    const second = gathered.product(features, rows, numbers(rows, 3), true);
    expect((await first).rows).toBe(d);
    expect((await second).cols).toBe(3);
    expect(widths).toEqual([5]);
    gathered.done();
    await gathered.product(features, rows, numbers(d, 1), false);
    expect(widths).toEqual([5, 1]);
  });

  it("are not mixed with those of the transposed features", async () => {
    const { widths, compute } = counted();
    const gathered = new GatheredProducts(compute, 2);
    const [plain, transposed] = await Promise.all([
      gathered.product(features, rows, numbers(d, 2), false),
      gathered.product(features, rows, numbers(rows, 3), true),
    ]);
    expect([plain.rows, transposed.rows]).toEqual([rows, d]);
    expect(widths).toEqual([2, 3]);
  });

  it("all fail where the computation does", async () => {
    const gathered = new GatheredProducts(() => Promise.reject(new Error("no")), 2);
    const asked = [1, 2].map((cols) => gathered.product(features, rows, numbers(d, cols), false));
    for (const outcome of await Promise.allSettled(asked)) expect(outcome.status).toBe("rejected");
  });
});
