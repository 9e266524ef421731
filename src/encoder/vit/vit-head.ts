import { ModelError } from "../../errors.ts";
import { int } from "../../onnx-vjp/graph/ir.ts";
import type { Pool } from "../encoder-model.ts";
import { type Pooling, prefixTokens, type VisionTransformer } from "./description.ts";
import type { Layers } from "./emit.ts";
import { type Linear, readLinear, rowsOf } from "./layers.ts";
import { finalNormPart, type Weights } from "./weights.ts";

/** Which of a model's poolings a user's choice means. @throws ModelError for one that it does not have */
export function poolingOf(v: VisionTransformer, weights: Weights, pool: Pool): Pooling {
  const pooling =
    pool === "auto" ? v.pooling : pool === "pooler" ? (v.attentionPool ? "attention" : "cls") : pool;
  if (pooling === "cls" && !v.classToken) throw poolError(v, pool, "has no class token", "mean or pooler");
  if (pool === "pooler" && v.pooler !== undefined && !weights.has("pooler.weight"))
    throw poolError(v, pool, "holds no weights of a pooler here", "cls or mean");
  return pooling;
}

/** An image's vector: its value's name [batch, d], d, and how it came about, for people. */
export interface Feature {
  readonly value: string;
  readonly width: number;
  readonly pooled: string;
}

/** The vector of an image from its class token after the last block [batch, d]. */
export async function classFeature(layers: Layers, token: string, pool: Pool): Promise<Feature> {
  const { b, v, weights } = layers;
  const { width: d } = v;
  const value = await layers.norm(token, finalNormPart(v));
  if (pool === "pooler" && v.pooler !== undefined) {
    const dense = await readLinear(weights, "pooler", d, v.pooler, true);
    const pooled = "dense layer and tanh of the class token";
    return { value: b.op("Tanh", [layers.linear(value, dense)]), width: v.pooler, pooled };
  }
  if (pool === "auto" && v.projection && weights.has("projection.weight")) {
    const projection = await readLinear(weights, "projection", d, v.projection.size, false);
    const pooled = "class token, projected";
    return { value: layers.linear(value, projection), width: v.projection.size, pooled };
  }
  return { value, width: d, pooled: "class token" };
}

/** The vector of an image from all its tokens after the last block [batch, tokens, d]. */
export async function tokensFeature(
  layers: Layers,
  last: string,
  tokens: number,
  pooling: Exclude<Pooling, "cls">,
): Promise<Feature> {
  const { b, v } = layers;
  const { width: d } = v;
  const norm = (value: string) => layers.norm(value, finalNormPart(v));
  if (pooling === "attention") {
    const rows = b.reshape(last, [-1, d]);
    const normed = v.finalNorm === "tokens" ? await norm(rows) : rows;
    return { value: await attentionPool(layers, normed, tokens), width: d, pooled: "attention pooling" };
  }
  // The mean of the patches, or of the class and distillation tokens, normalized before or after as the family has it.
  const prefix = prefixTokens(v);
  if (pooling === "cls and mean") {
    const normed = v.finalNorm === "tokens" ? await norm(last) : last;
    const patches = b.op("ReduceMean", [layers.tokens(normed, prefix, tokens), b.ints([1])], {
      keepdims: int(0),
    });
    const first = b.reshape(layers.tokens(normed, 0, 1), [-1, d]);
    const both = b.op("Concat", [first, patches], { axis: int(1) });
    return { value: both, width: 2 * d, pooled: "class token and mean of the patches" };
  }
  let part =
    pooling === "all"
      ? last
      : pooling === "prefix"
        ? layers.tokens(last, 0, prefix)
        : layers.tokens(last, prefix, tokens);
  if (v.finalNorm === "tokens") part = await norm(part);
  let value = b.op("ReduceMean", [part, b.ints([1])], { keepdims: int(0) });
  if (v.finalNorm === "pooled") value = await norm(value);
  const pooled =
    pooling === "all"
      ? "mean of all tokens"
      : pooling === "prefix"
        ? "mean of the class and distillation tokens"
        : "mean of the patches";
  return { value, width: d, pooled };
}

/** A learned query attends to all tokens; then a block's MLP. `x`: [batch·tokens, d]; returns [batch, d]. */
async function attentionPool(layers: Layers, x: string, tokens: number): Promise<string> {
  const { b, v, weights } = layers;
  const { width: d, heads } = v;
  const headSize = d / heads;
  const pool = v.attentionPool;
  if (pool === undefined) throw poolError(v, "pooler", "has no attention-pooling head", "cls or mean");
  const { query, keyValue } = await readPoolProducts(layers);
  const q = b.reshape(layers.linear(b.floats([1, d], await weights.floats("pool.query")), query), [
    1,
    heads,
    1,
    headSize,
  ]);
  const kv = b.reshape(layers.linear(x, keyValue), [-1, tokens, 2, heads, headSize]);
  const [k, value] = b
    .ops("Split", [b.transpose(kv, [2, 0, 3, 1, 4])], 2, { axis: int(0), num_outputs: int(2) })
    .map((part) => b.reshape(part, [-1, heads, tokens, headSize])) as [string, string];
  const mixed = layers.mix(q, k, value, 1);
  const out = layers.linear(mixed, await readLinear(weights, "pool.out", d, d, true));
  const up = await readLinear(weights, "pool.up", d, pool.hidden, true);
  const down = await readLinear(weights, "pool.down", pool.hidden, d, true);
  const hidden = layers.activate(layers.linear(await layers.norm(out, "pool.norm"), up), v.activation);
  return b.op("Add", [out, layers.linear(hidden, down)]);
}

/** The pooling head's products: of the query, scaled, and of keys and values together. */
async function readPoolProducts({ v, weights }: Layers): Promise<{ query: Linear; keyValue: Linear }> {
  const { width: d } = v;
  let query: Linear;
  let keyValue: Linear;
  if (v.attentionPool?.qkv === "fused") {
    const layer = await readLinear(weights, "pool.qkv", d, 3 * d, true);
    query = rowsOf(layer, 0, d);
    keyValue = rowsOf(layer, d, 3 * d);
  } else {
    query = await readLinear(weights, "pool.q", d, d, true);
    keyValue = await readLinear(weights, "pool.kv", d, 2 * d, true);
  }
  const scale = 1 / Math.sqrt(d / v.heads);
  return {
    query: { ...query, weight: query.weight.map((w) => w * scale), bias: query.bias?.map((w) => w * scale) },
    keyValue,
  };
}

function poolError(v: VisionTransformer, pool: string, what: string, instead: string): ModelError {
  return new ModelError(
    `\`pool: '${pool}'\` cannot be had of this model: ${v.family} ${what}. Choose \`pool: '${instead}'\`.`,
  );
}
