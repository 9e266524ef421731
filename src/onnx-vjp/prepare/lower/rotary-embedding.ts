import { int, intAttribute } from "../../graph/ir.ts";
import type { Lowering } from "./lowering.ts";

/**
 * RotaryEmbedding (operator set 23): pairs of features turned by an angle of their position. With c and s
 * the cosines and sines spread over both members of a pair, y = x·c + swapped(x)·(−s, s).
 */
export const lowerRotaryEmbedding: Lowering = ({ node, b, type }) => {
  const [x, cosines, sines, positions = ""] = node.inputs as readonly [string, string, string, string?];
  const { dims } = type(x);
  const flat = dims.length === 3;
  const heads = flat ? intAttribute(node, "num_heads", 1) : dims[1];
  const [batch, length] = flat ? [dims[0], dims[1]] : [dims[0], dims[2]];
  const size = flat ? dims[2] / heads : dims[3];
  const turned = intAttribute(node, "rotary_embedding_dim", 0) || size;
  const interleaved = intAttribute(node, "interleaved", 0) !== 0;

  // Heads stay where the input has them: [batch, length, heads, size] or [batch, heads, length, size].
  const shape = flat ? [batch, length, heads] : [batch, heads, length];
  const angles = type(positions === "" ? cosines : positions).dims;
  const spread = flat ? [angles[0], length, 1] : [angles[0], 1, length];
  const half = turned / 2;
  const last = shape.length;
  // Pairs as an axis of two: the members are `half` apart, or side by side.
  const pairs = interleaved ? [half, 2] : [2, half];
  const pairAxis = interleaved ? last + 1 : last;
  const table = (cache: string): string => {
    const rows = positions === "" ? cache : b.op("Gather", [cache, positions], { axis: int(0) });
    return b.reshape(rows, [...spread, ...(interleaved ? [half, 1] : [1, half])]);
  };
  const cut = (value: string, axis: number, from: number, to: number): string =>
    b.op("Slice", [value, b.ints([from]), b.ints([to]), b.ints([axis])]);

  const whole = flat ? b.reshape(x, [...shape, size]) : x;
  const part = turned === size ? whole : cut(whole, last, 0, turned);
  const paired = b.reshape(part, [...shape, ...pairs]);
  const first = cut(paired, pairAxis, 0, 1);
  const second = cut(paired, pairAxis, 1, 2);
  const swapped = b.op("Concat", [second, first], { axis: int(pairAxis) });
  const sine = table(sines);
  const signed = b.op("Concat", [b.op("Neg", [sine]), sine], { axis: int(pairAxis) });
  const rotated = b.op("Add", [b.op("Mul", [paired, table(cosines)]), b.op("Mul", [swapped, signed])]);
  let y = b.reshape(rotated, [...shape, turned]);
  if (turned !== size) y = b.op("Concat", [y, cut(whole, last, turned, size)], { axis: int(last) });
  return [flat ? b.reshape(y, dims) : y];
};
