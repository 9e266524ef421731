import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { float, int, text } from "../../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { einsum } from "../../support/einsum.ts";

const size = fc.integer({ min: 1, max: 4 });
const runs = { numRuns: 15 };
const active = fc.constantFrom([true, false], [false, true], [true, true]);

/** ONNX's MatMul (NumPy's) in double, on top of the definition of a contraction. */
function matmul([a, b]: readonly Array64[]): Array64 {
  const batchRank = Math.max(a!.dims.length, b!.dims.length) - 2;
  const batch = [..."uvwxyz"].slice(0, Math.max(0, batchRank));
  const letters = (rank: number, matrix: string, vector: string): string =>
    rank === 1 ? vector : [...batch.slice(batch.length - (rank - 2)), matrix].join("");
  const left = letters(a!.dims.length, "mk", "k");
  const right = letters(b!.dims.length, "kn", "k");
  const result = [...batch, a!.dims.length > 1 ? "m" : "", b!.dims.length > 1 ? "n" : ""].join("");
  return einsum([left, right], result, [a!, b!]);
}

describe("linear rules", () => {
  it("MatMul with a matrix on the right, any rank on the left", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 0, maxLength: 3 }),
        size,
        size,
        active,
        fc.nat(),
        async (lead, k, n, [a, b], seed) => {
          const random = randomNumbers(seed);
          await checkRule({
            op: "MatMul",
            inputs: [
              { ...randomArray([...lead, k], random), variable: a! },
              { ...randomArray([k, n], random), variable: b! },
            ],
            reference: matmul,
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("MatMul with a vector on either side", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 0, maxLength: 3 }),
        size,
        fc.boolean(),
        active,
        fc.nat(),
        async (lead, k, right, [a, b], seed) => {
          const random = randomNumbers(seed);
          const vector = randomArray([k], random);
          const matrices =
            lead.length === 0
              ? vector
              : randomArray(right ? [...lead, k] : [...lead.slice(1), k, lead[0]], random);
          const inputs = right ? [matrices, vector] : [vector, matrices];
          await checkRule({
            op: "MatMul",
            inputs: inputs.map((x, i) => ({ ...x, variable: [a!, b!][i] })),
            reference: matmul,
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("MatMul sums over broadcast batch dimensions of either side", async () => {
    const broadcast = fc.constantFrom("none", "left", "right");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(size, broadcast), { minLength: 1, maxLength: 3 }),
        fc.nat({ max: 3 }),
        fc.tuple(size, size, size),
        active,
        fc.nat(),
        async (batch, shorter, [m, k, n], [a, b], seed) => {
          const random = randomNumbers(seed);
          const left = batch.map(([d, side]) => (side === "left" ? 1 : d)).slice(shorter);
          const right = batch.map(([d, side]) => (side === "right" ? 1 : d));
          await checkRule({
            op: "MatMul",
            inputs: [
              { ...randomArray([...left, m, k], random), variable: a! },
              { ...randomArray([...right, k, n], random), variable: b! },
            ],
            reference: matmul,
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("Gemm with every transposition, factor and shape of the added matrix", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(size, size, size),
        fc.tuple(fc.boolean(), fc.boolean()),
        fc.constantFrom("none", "full", "row", "column", "vector", "scalar"),
        fc.subarray([0, 1, 2], { minLength: 1 }),
        fc.nat(),
        async ([m, k, n], [transA, transB], added, variables, seed) => {
          const random = randomNumbers(seed);
          const alpha = Math.fround(random() + 1.5);
          const beta = Math.fround(random() + 1.5);
          const shapes = {
            none: undefined,
            full: [m, n],
            row: [1, n],
            column: [m, 1],
            vector: [n],
            scalar: [],
          };
          const shape = shapes[added];
          const inputs = [
            randomArray(transA ? [k, m] : [m, k], random),
            randomArray(transB ? [n, k] : [k, n], random),
          ];
          if (shape !== undefined) inputs.push(randomArray(shape, random));
          const chosen = variables.filter((i) => i < inputs.length);
          if (chosen.length === 0) chosen.push(0);
          await checkRule({
            op: "Gemm",
            attributes: {
              alpha: float(alpha),
              beta: float(beta),
              transA: int(transA ? 1 : 0),
              transB: int(transB ? 1 : 0),
            },
            inputs: inputs.map((x, i) => ({ ...x, variable: chosen.includes(i) })),
            reference: ([a, b, c]) => {
              const product = einsum([transA ? "km" : "mk", transB ? "nk" : "kn"], "mn", [a!, b!]);
              const full = c && array64([...Array(2 - c.dims.length).fill(1), ...c.dims], c.data);
              return array64(
                [m, n],
                product.data.map((v, i) => {
                  const row = full?.dims[0] === 1 ? 0 : Math.floor(i / n);
                  const column = full?.dims[1] === 1 ? 0 : i % n;
                  return alpha * v + (full ? beta * full.data[row * full.dims[1]! + column] : 0);
                }),
              );
            },
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  /** An equation, the same with its ellipsis spelt out for the reference, and dimensions of 1 to broadcast. */
  const equations: [string, readonly string[], string, (readonly string[])?][] = [
    ["bhid,bhjd->bhij", ["bhid", "bhjd"], "bhij"],
    ["bhij,bhjd->bihd", ["bhij", "bhjd"], "bihd"],
    ["nchw,kc->nkhw", ["nchw", "kc"], "nkhw"],
    ["...i,ij->...j", ["xyi", "ij"], "xyj"],
    ["...ij , ...jk", ["xyij", "xyjk"], "xyik"],
    ["b...d,...d->b...", ["bxyd", "xyd"], "bxy"],
    ["ij,jk", ["ij", "jk"], "ik"],
    ["ba,", ["ba", ""], "ab"],
    ["ijk->ik", ["ijk"], "ik"],
    ["ijk->", ["ijk"], ""],
    ["ij,k->jk", ["ij", "k"], "jk"],
    ["a,b,c->abc", ["a", "b", "c"], "abc"],
    ["ab,bc,cd->ad", ["ab", "bc", "cd"], "ad"],
    ["...i,...i->...i", ["xyi", "xyi"], "xyi", ["", "x"]],
    ["...i,...i->...i", ["xyi", "xyi"], "xyi", ["y", "x"]],
    ["ij,jk->ik", ["ij", "jk"], "ik", ["j", ""]],
  ];
  it.each(equations)("Einsum %s", async (equation, operands, result, ones = []) => {
    await fc.assert(
      fc.asyncProperty(fc.array(size, { minLength: 26, maxLength: 26 }), fc.nat(), async (sizes, seed) => {
        const random = randomNumbers(seed);
        const dims = (term: string, k: number): number[] =>
          [...term].map((l) => (ones[k]?.includes(l) ? 1 : sizes[l.charCodeAt(0) - 97]));
        for (const variables of [operands.map(() => true), operands.map((_, i) => i === 0)]) {
          await checkRule({
            op: "Einsum",
            attributes: { equation: text(equation) },
            inputs: operands.map((term, k) => ({
              ...randomArray(dims(term, k), random),
              variable: variables[k],
            })),
            reference: (arrays) => einsum(operands, result, arrays),
            seed: seed + 1,
          });
        }
      }),
      { numRuns: 4 },
    );
  });

  it("Einsum of a diagonal is refused by name", async () => {
    const diagonal = checkRule({
      op: "Einsum",
      attributes: { equation: text("ii->i") },
      inputs: [{ ...randomArray([3, 3], randomNumbers(1)), variable: true }],
      reference: ([x]) =>
        array64(
          [3],
          [0, 1, 2].map((i) => x!.data[4 * i]),
        ),
    });
    await expect(diagonal).rejects.toThrow(ModelError);
    await expect(diagonal).rejects.toThrow(/Einsum ".*" takes a diagonal \("ii->i"\)/);
  });
});
