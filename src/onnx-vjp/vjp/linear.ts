import { float, floatAttribute, int, intAttribute, sizeOf, stringAttribute, text } from "../graph/ir.ts";
import { reshaped } from "./reshaping.ts";
import { type RuleContext, type RuleTable, sumTo } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

/** Products: MatMul, Gemm, Einsum. A weight is read in place, transposed by the product itself. */
export const linearRules: RuleTable = {
  MatMul: (c, [dy]) => {
    const weight = c.inputDims(1);
    return weight.length <= 2 ? flatProduct(c, dy!) : batchProduct(c, dy!);
  },

  // Y = α·op(A)·op(B) + β·C
  Gemm: (c, [dy]) => {
    const [a, b] = c.node.inputs as readonly [string, string];
    const alpha = floatAttribute(c.node, "alpha", 1);
    const transA = intAttribute(c.node, "transA", 0) !== 0;
    const transB = intAttribute(c.node, "transB", 0) !== 0;
    const gemm = (x: string, y: string, tx: boolean, ty: boolean): string =>
      c.b.op("Gemm", [x, y], { alpha: float(alpha), transA: int(tx ? 1 : 0), transB: int(ty ? 1 : 0) });
    const gradients: (string | null)[] = [
      c.needs(0) ? (transA ? gemm(b, dy!, transB, true) : gemm(dy!, b, false, !transB)) : null,
      c.needs(1) ? (transB ? gemm(dy!, a, true, transA) : gemm(a, dy!, !transA, false)) : null,
    ];
    if (c.node.inputs.length > 2) {
      const beta = floatAttribute(c.node, "beta", 1);
      const scaled = () =>
        beta === 1 ? dy! : c.b.op("Mul", [dy!, c.b.scalar(beta, c.type(c.node.inputs[2]).dtype)]);
      gradients.push(c.needs(2) ? sumTo(c.b, scaled(), c.outputDims(0), c.inputDims(2)) : null);
    }
    return gradients;
  },

  Einsum: (c, [dy]) => {
    const { operands, result, sizes } = parseEinsum(c);
    return operands.map((own, k) => {
      if (!c.needs(k)) return null;
      const dims = c.inputDims(k);
      const others = operands.flatMap((letters, j) =>
        j === k ? [] : [{ letters, value: c.node.inputs[j], dims: c.inputDims(j) }],
      );
      const sources = [{ letters: result, value: dy!, dims: c.outputDims(0) }, ...others];
      // An index of this operand alone was summed over: its gradient is the same all along it. One that
      // was broadcast is summed over.
      const known = (letter: string, i: number): boolean =>
        dims[i] === sizes.get(letter) && sources.some((s) => s.dims[s.letters.indexOf(letter)] === dims[i]);
      const kept = own.filter(known);
      const equation = `${sources.map((s) => s.letters.join("")).join(",")}->${kept.join("")}`;
      const product = c.b.op("Einsum", [dy!, ...others.map((o) => o.value)], { equation: text(equation) });
      if (kept.length === own.length) return product;
      const spread = c.b.reshape(
        product,
        own.map((letter, i) => (known(letter, i) ? dims[i] : 1)),
      );
      return own.every((letter, i) => known(letter, i) || dims[i] === 1)
        ? spread
        : c.b.op("Expand", [spread, c.b.ints(dims)]);
    });
  },
};

/**
 * A product with a matrix (or vector) on the right, whatever the rank on the left: all leading dimensions
 * are one, and Gemm transposes inside the product, so that a weight needs no second, transposed copy.
 */
function flatProduct(c: RuleContext, dy: string): (string | null)[] {
  const [a, b] = c.node.inputs as readonly [string, string];
  const left = c.inputDims(0);
  const right = c.inputDims(1);
  const inner = left.at(-1)!;
  const rows = sizeOf(left.slice(0, -1));
  const columns = right[1] ?? 1;
  const as = (value: string, from: readonly number[], to: readonly number[]) =>
    reshaped(c.b, value, from, to);
  const flat = as(dy, c.outputDims(0), [rows, columns]);
  const matrix = () => as(b, right, [inner, columns]);
  return [
    c.needs(0) ? as(c.b.op("Gemm", [flat, matrix()], { transB: int(1) }), [rows, inner], left) : null,
    c.needs(1)
      ? as(c.b.op("Gemm", [as(a, left, [rows, inner]), flat], { transA: int(1) }), [inner, columns], right)
      : null,
  ];
}

/** Batches of products: dA = dY·Bᵀ and dB = Aᵀ·dY, summed over broadcast batch dimensions. */
function batchProduct(c: RuleContext, dy: string): (string | null)[] {
  const [a, b] = c.node.inputs as readonly [string, string];
  const right = c.inputDims(1);
  // A vector on the left is a matrix of one row, which the product drops again.
  const vector = c.inputDims(0).length === 1;
  const left = vector ? [1, ...c.inputDims(0)] : c.inputDims(0);
  const out = vector ? [...c.outputDims(0).slice(0, -1), 1, c.outputDims(0).at(-1)!] : c.outputDims(0);
  const cotangent = vector ? c.b.reshape(dy, out) : dy;
  const batch = out.slice(0, -2);
  // A product transposes its right side at no cost; its left side better comes transposed, for which the
  // permutation that made it, if any, takes the exchange in.
  const exchanged = (value: string, { length }: readonly number[]): string =>
    c.b.transpose(value, [...Array(length - 2).keys(), length - 1, length - 2]);
  const gradients: (string | null)[] = [null, null];
  if (c.needs(0)) {
    const product = c.b.op("MatMul", [cotangent, c.b.exchange(b, right.length)]);
    const summed = sumTo(c.b, product, [...batch, ...left.slice(-2)], left);
    gradients[0] = vector ? c.b.reshape(summed, c.inputDims(0)) : summed;
  }
  if (c.needs(1)) {
    const matrices = vector ? c.b.reshape(a, left) : a;
    // Aᵀ·dY or (dYᵀ·A)ᵀ: the smaller of A and dY is the one to transpose (attention's weights are the larger).
    const product =
      left.at(-1)! > out.at(-1)!
        ? exchanged(c.b.op("MatMul", [exchanged(cotangent, out), matrices]), out)
        : c.b.op("MatMul", [exchanged(matrices, left), cotangent]);
    gradients[1] = sumTo(c.b, product, [...batch, ...right.slice(-2)], right);
  }
  return gradients;
}

/** An Einsum's indices with the ellipsis spelt out, and the size of each index after broadcasting. */
function parseEinsum(c: RuleContext): { operands: string[][]; result: string[]; sizes: Map<string, number> } {
  const equation = stringAttribute(c.node, "equation", "").replaceAll(" ", "");
  const [left, right] = equation.split("->") as [string, string | undefined];
  const terms = left.split(",");
  const named = (term: string): string[] => [...term.replace("...", "")];
  const unused = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"].filter(
    (letter) => !equation.includes(letter),
  );
  const ranks = terms.map((term, k) =>
    term.includes("...") ? c.inputDims(k).length - named(term).length : 0,
  );
  const ellipsis = unused.slice(0, Math.max(0, ...ranks));
  const spelt = (term: string, rank: number): string[] => {
    const at = term.indexOf("...");
    if (at < 0) return [...term];
    return [...term.slice(0, at), ...ellipsis.slice(ellipsis.length - rank), ...term.slice(at + 3)];
  };
  const operands = terms.map((term, k) => spelt(term, ranks[k]));
  const once = terms.flatMap(named).filter((letter, _, all) => all.filter((l) => l === letter).length === 1);
  const result = right === undefined ? [...ellipsis, ...once.sort()] : spelt(right, ellipsis.length);
  const sizes = new Map<string, number>();
  operands.forEach((letters, k) => {
    if (new Set(letters).size !== letters.length) {
      throw uncovered(c.node, `takes a diagonal ("${equation}")`);
    }
    letters.forEach((letter, i) => {
      sizes.set(letter, Math.max(sizes.get(letter) ?? 1, c.inputDims(k)[i]));
    });
  });
  return { operands, result, sizes };
}
