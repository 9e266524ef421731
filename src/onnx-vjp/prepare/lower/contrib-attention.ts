import {
  type Attributes,
  float,
  floatAttribute,
  int,
  intAttribute,
  intsAttribute,
  type TensorType,
} from "../../graph/ir.ts";
import { lowerAttention } from "./attention.ts";
import type { LoweringContext } from "./lowering.ts";

/** MultiHeadAttention on separate queries, keys and values [batch, length, heads·size], without mask or cache. */
export function lowerMultiHeadAttention(context: LoweringContext): readonly string[] | undefined {
  const { node, b, type } = context;
  const [query, key = "", value = "", bias = "", mask = "", scoreBias = "", ...cache] = node.inputs;
  const present = node.outputs.slice(1).some((o) => o !== "");
  if (key === "" || value === "" || mask !== "" || cache.some((c) => c !== "") || present) return undefined;
  if (intAttribute(node, "unidirectional", 0) !== 0) return undefined;
  const parts = [query!, key, value];
  const types = parts.map(type);
  if (types.some(({ dims }) => dims.length !== 3)) return undefined;
  if (bias === "") return attention(context, parts, types, scoreBias);
  let end = 0;
  const shifted = parts.map((part, i) => {
    const start = end;
    end += types[i].dims[2];
    return b.op("Add", [part, b.op("Slice", [bias, b.ints([start]), b.ints([end])])]);
  });
  return attention(context, shifted, types, scoreBias);
}

/** Attention on x [batch, length, width] and one weight [width, queries + keys + values], without mask or cache. */
export function lowerFusedAttention(context: LoweringContext): readonly string[] | undefined {
  const { node, b, type } = context;
  const [x, weight, bias = "", mask = "", past = "", scoreBias = "", ...others] = node.inputs;
  const present = node.outputs.slice(1).some((o) => o !== "");
  if (mask !== "" || past !== "" || others.some((o) => o !== "") || present) return undefined;
  if (intAttribute(node, "unidirectional", 0) !== 0 || intAttribute(node, "do_rotary", 0) !== 0)
    return undefined;
  const { dims, dtype } = type(x!);
  const width = type(weight!).dims[1];
  const sizes = intsAttribute(node, "qkv_hidden_sizes") ?? [width / 3, width / 3, width / 3];
  const product = b.op("MatMul", [x!, weight!]);
  const all = bias === "" ? product : b.op("Add", [product, bias]);
  const parts = b.ops("Split", [all, b.ints(sizes)], 3, { axis: int(-1) });
  const types = sizes.map((size) => ({ dtype, dims: [dims[0], dims[1], size] }));
  return attention(context, parts, types, scoreBias);
}

/** The standard Attention of queries, keys and values [batch, length, heads·size], lowered in its turn. */
function attention(
  context: LoweringContext,
  parts: readonly string[],
  types: readonly TensorType[],
  scoreBias: string,
): readonly string[] | undefined {
  const { node } = context;
  const heads = intAttribute(node, "num_heads", 1);
  const scale = floatAttribute(node, "scale", 0) || 1 / Math.sqrt(types[0].dims[2] / heads);
  const attributes: Attributes = { q_num_heads: int(heads), kv_num_heads: int(heads), scale: float(scale) };
  const known = new Map(parts.map((part, i) => [part, types[i]]));
  return lowerAttention({
    ...context,
    node: {
      ...node,
      op: "Attention",
      inputs: [...parts, scoreBias],
      outputs: [node.outputs[0]],
      attributes,
    },
    type: (value) => known.get(value) ?? context.type(value),
  });
}
