import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { chooseGemm, type Gemm, jsGemm } from "../../src/probe/gemm.ts";
import { blockOf, matrix, rowsOf, transpose } from "../../src/probe/matrix.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { relativeError } from "../support/check-rule.ts";
import { naiveProduct, randomMatrix } from "../support/matrices.ts";

const ort = ortGemm(nodeRuntime({ threads: 1 }));
afterAll(() => ort.release());

describe.each<[string, Gemm]>([
  ["the JavaScript kernel", jsGemm],
  ["ONNX Runtime", ort],
])("%s", (_, gemm) => {
  it("computes alpha op(a) op(b) + plus as the definition does, in new memory or where it is told", async () => {
    const size = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(
        size,
        size,
        size,
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom(1, -1, 0.3, -2.5),
        fc.boolean(),
        fc.integer(),
        async (m, k, n, transA, transB, alpha, add, seed) => {
          const a = transA ? randomMatrix(k, m, seed) : randomMatrix(m, k, seed);
          const b = transB ? randomMatrix(n, k, seed + 1) : randomMatrix(k, n, seed + 1);
          const c = randomMatrix(m, n, seed + 2);
          const product = naiveProduct(a, b, transA, transB);
          const expected = product.data.map((x, i) => alpha * x + (add ? c.data[i] : 0));
          const kept = c.data.slice();
          const got = await gemm.multiply(a, b, { transA, transB, alpha, ...(add ? { plus: c } : {}) });
          expect([got.rows, got.cols]).toEqual([m, n]);
          expect(relativeError(got.data, expected)).toBeLessThan(1e-13);
          expect(c.data).toEqual(kept);
          const into = add ? c : randomMatrix(m, n, seed + 3);
          await gemm.multiply(a, b, { transA, transB, alpha, into, ...(add ? { plus: c } : {}) });
          expect(relativeError(into.data, expected)).toBeLessThan(1e-13);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("is right across its block sizes and on row views of a larger matrix", async () => {
    const a = randomMatrix(140, 530, 1);
    const b = randomMatrix(530, 517, 2);
    expect(relativeError((await gemm.multiply(a, b)).data, naiveProduct(a, b).data)).toBeLessThan(1e-13);
    const view = rowsOf(a, 37, 139);
    const expected = naiveProduct(blockOf(a, 37, 0, 102, 530), b);
    expect(relativeError((await gemm.multiply(view, b)).data, expected.data)).toBeLessThan(1e-13);
  });

  it("gives zeros for an empty inner dimension", async () => {
    const into = randomMatrix(3, 2, 1);
    expect(await gemm.multiply(matrix(3, 0), matrix(0, 2), { into })).toEqual(matrix(3, 2));
    expect(into).toEqual(matrix(3, 2));
  });

  it("refuses sizes that do not fit, naming them", async () => {
    await expect(gemm.multiply(matrix(2, 3), matrix(2, 3))).rejects.toThrow("(2 × 3) by (2 × 3)");
    await expect(gemm.multiply(matrix(2, 3), matrix(3, 2), { plus: matrix(2, 3) })).rejects.toThrow("2 × 3");
    await expect(gemm.multiply(matrix(2, 3), matrix(3, 2), { into: matrix(2, 3) })).rejects.toThrow("2 × 3");
  });
});

it("chooses by the number of multiply-adds", async () => {
  const used: string[] = [];
  const named = (name: string): Gemm => ({
    async multiply(a, b, options) {
      used.push(name);
      return jsGemm.multiply(a, b, options);
    },
  });
  const gemm = chooseGemm(named("small"), named("large"), 60);
  await gemm.multiply(matrix(3, 4), matrix(4, 4));
  await gemm.multiply(matrix(3, 4), matrix(4, 5));
  await gemm.multiply(matrix(3, 5), matrix(4, 5), { transB: true });
  expect(used).toEqual(["small", "large", "large"]);
});

it("transposes", () => {
  const a = randomMatrix(37, 70, 3);
  const t = transpose(a);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++) expect(t.data[j * a.rows + i]).toBe(a.data[i * a.cols + j]);
  }
});
