import fc from "fast-check";
import { expect, test } from "vitest";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { type FeatureProduct, inverseNorms, mappedRows } from "../../src/probe/batch-rows.ts";
import { featureMap, normalizations } from "../../src/probe/feature-map.ts";
import { transpose } from "../../src/probe/matrix.ts";
import { ortFeatureProduct } from "../../src/probe/ort-feature-product.ts";
import { relativeError } from "../support/check-rule.ts";
import { naiveProduct, productInDouble, randomMatrix } from "../support/matrices.ts";

const runtime = nodeRuntime({ threads: 1 });
const products: readonly (readonly [string, FeatureProduct, number])[] = [
  ["in double", productInDouble, 1e-12],
  ["by ONNX Runtime", ortFeatureProduct(runtime), 3e-6],
];

test.each(products)(
  "mapped rows multiply as the rows after the map do, %s",
  async (_, product, tolerance) => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          normalization: fc.constantFrom(...normalizations),
          rows: fc.integer({ min: 1, max: 9 }),
          d: fc.integer({ min: 2, max: 12 }),
          k: fc.integer({ min: 1, max: 5 }),
          zeroRow: fc.boolean(),
          seed: fc.nat(),
        }),
        async ({ normalization, rows, d, k, zeroRow, seed }) => {
          const X = Float32Array.from(randomMatrix(rows, d, seed).data);
          const mean = Float64Array.from(Float32Array.from(randomMatrix(1, d, seed + 1).data));
          const std = randomMatrix(1, d, seed + 2).data.map((s) => 0.5 + Math.abs(s));
          const map = featureMap({ normalization, mean, std });
          // A row of norm zero after the map.
          if (zeroRow) X.set(map.mean ?? new Float64Array(d));
          const mapped = map.apply(X, rows).values;
          const [W, G] = [randomMatrix(d, k, seed + 3), randomMatrix(rows, k, seed + 4)];
          const batch = mappedRows(map, X, rows, inverseNorms(map, X, rows), product);
          const scale = (a: Float64Array) => Math.max(1, ...a.map(Math.abs));
          const near = (a: Float64Array, b: Float64Array) => {
            const worst = Math.max(...a.map((v, i) => Math.abs(v - b[i])));
            expect(worst / scale(b)).toBeLessThan(tolerance * 10);
          };
          near((await batch.multiply(W)).data, naiveProduct(mapped, W).data);
          near((await batch.transposeMultiply(G)).data, naiveProduct(transpose(mapped), G).data);
        },
      ),
      { numRuns: 150 },
    );
  },
);

test("a batch of a distillation's size is as exact as single precision is", async () => {
  const [rows, d, k] = [512, 1280, 8];
  const X = Float32Array.from(randomMatrix(rows, d, 1).data, (v) => v + 0.5);
  const mean = new Float64Array(d).fill(0.5);
  const map = featureMap({ normalization: "center-l2", mean });
  const [W, G] = [randomMatrix(d, k, 2), randomMatrix(rows, k, 3)];
  const mapped = map.apply(X, rows).values;
  const batch = mappedRows(map, X, rows, inverseNorms(map, X, rows), ortFeatureProduct(runtime));
  expect(relativeError((await batch.multiply(W)).data, naiveProduct(mapped, W).data)).toBeLessThan(2e-6);
  const back = await batch.transposeMultiply(G);
  expect(relativeError(back.data, naiveProduct(transpose(mapped), G).data)).toBeLessThan(2e-6);
});
