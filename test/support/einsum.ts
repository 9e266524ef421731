import { sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64 } from "./check-rule.ts";

/**
 * Σ over all indices not in `result` of the product of the operands, by brute force over every index: the
 * definition of Einsum, to hold products against. A dimension of 1 is broadcast.
 */
export function einsum(operands: readonly string[], result: string, arrays: readonly Array64[]): Array64 {
  const letters = [...new Set(operands.join(""))];
  const size = new Map<string, number>();
  operands.forEach((term, k) => {
    [...term].forEach((letter, i) => {
      size.set(letter, Math.max(size.get(letter) ?? 1, arrays[k].dims[i]));
    });
  });
  const dims = [...result].map((letter) => size.get(letter)!);
  const out = array64(dims);
  const index = new Map(letters.map((letter) => [letter, 0]));
  const offset = (term: string, shape: readonly number[]): number =>
    [...term].reduce((at, letter, i) => at * shape[i] + (shape[i] === 1 ? 0 : index.get(letter)!), 0);
  const total = sizeOf(letters.map((letter) => size.get(letter)!));
  for (let n = 0; n < total; n++) {
    let rest = n;
    for (const letter of letters) {
      index.set(letter, rest % size.get(letter)!);
      rest = Math.floor(rest / size.get(letter)!);
    }
    const at = offset(result, dims);
    out.data[at] += arrays.reduce((p, a, k) => p * a.data[offset(operands[k]!, a.dims)], 1);
  }
  return out;
}
