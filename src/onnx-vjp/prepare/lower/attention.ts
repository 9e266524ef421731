import type { GraphBuilder } from "../../graph/builder.ts";
import { constantOf } from "../../graph/constant.ts";
import { floatAttribute, intAttribute, type TensorType } from "../../graph/ir.ts";
import type { Lowering } from "./lowering.ts";

/** Added to a masked score: finite, also twice, so that a row that is masked throughout has a gradient. */
const masked = -1e30;

/**
 * Attention (operator set 23) without a cache: softmax(scale·Q·Kᵀ, capped, masked)·V, for queries, keys and
 * values of shape [batch, heads, length, size] or [batch, length, heads·size]. Where several query heads
 * share a key head they are rows of one product. A row that is masked throughout gives the mean of the
 * values, where the specification gives zero.
 *
 * Nodes that take or hand on a cache of keys, or hand out the scores, stay as they are.
 */
export const lowerAttention: Lowering = ({ node, b, type }) => {
  const [q, k, v, mask = "", ...cache] = node.inputs as readonly [string, string, string, ...string[]];
  if (cache.some((input) => input !== "") || node.outputs.slice(1).some((o) => o !== "")) return undefined;
  const flat = type(q).dims.length === 3;
  const split = (value: string, heads: string): { value: string; dims: readonly number[] } => {
    const { dims } = type(value);
    if (!flat) return { value, dims };
    const [batch, length, width] = dims as readonly [number, number, number];
    const count = intAttribute(node, heads, 1);
    const apart = b.reshape(value, [batch, length, count, width / count]);
    return { value: b.transpose(apart, [0, 2, 1, 3]), dims: [batch, count, length, width / count] };
  };
  const query = split(q, "q_num_heads");
  const key = split(k, "kv_num_heads");
  const values = split(v, "kv_num_heads");
  const [batch, heads, length, size] = query.dims as readonly [number, number, number, number];
  const [, keyHeads, keys] = key.dims as readonly [number, number, number];
  const { dtype } = type(q);
  const scalar = (value: number) => b.scalar(value, dtype);
  const shared = heads / keyHeads;

  const scaled = b.op("Mul", [query.value, scalar(floatAttribute(node, "scale", 1 / Math.sqrt(size)))]);
  const rows = shared === 1 ? scaled : b.reshape(scaled, [batch, keyHeads, shared * length, size]);
  let scores = b.op("MatMul", [rows, b.transpose(key.value, [0, 1, 3, 2])]);
  if (shared !== 1) scores = b.reshape(scores, [batch, heads, length, keys]);
  const cap = floatAttribute(node, "softcap", 0);
  if (cap !== 0) scores = b.op("Mul", [b.op("Tanh", [b.op("Div", [scores, scalar(cap)])]), scalar(cap)]);
  if (mask !== "") scores = b.op("Add", [scores, additive(b, mask, type(mask), dtype)]);
  if (intAttribute(node, "is_causal", 0) !== 0) {
    const future = Array.from({ length: length * keys }, (_, i) => (i % keys > i / keys ? masked : 0));
    scores = b.op("Add", [scores, b.constant(constantOf(dtype, [length, keys], future))]);
  }
  let weights = b.op("Softmax", [scores]);
  if (shared !== 1) weights = b.reshape(weights, [batch, keyHeads, shared * length, keys]);
  let out = b.op("MatMul", [weights, values.value]);
  const outSize = values.dims[3];
  if (shared !== 1) out = b.reshape(out, [batch, heads, length, outSize]);
  if (!flat) return [out];
  return [b.reshape(b.transpose(out, [0, 2, 1, 3]), [batch, length, heads * outSize])];
};

/** A boolean mask as numbers to add to the scores; a mask of numbers as it is. */
function additive(b: GraphBuilder, mask: string, type: TensorType, dtype: TensorType["dtype"]): string {
  if (type.dtype !== "bool") return mask;
  return b.op("Where", [mask, b.scalar(0, dtype), b.scalar(masked, dtype)]);
}
