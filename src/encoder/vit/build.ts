import { ModelError } from "../../errors.ts";
import { GraphBuilder } from "../../graph/builder.ts";
import { float, type Graph, int } from "../../graph/ir.ts";
import type { Pool } from "../model.ts";
import { type Activation, gridOf, prefixTokens, type Size, type VisionTransformer } from "./description.ts";
import { type Linear, readBlock, readLinear } from "./layers.ts";
import { resamplePositions, rotaryTables } from "./positions.ts";
import { finalNormPart, type Weights } from "./weights.ts";

/** Names of the graph's image input, of the chosen feature [batch, d], and of all tokens [batch, tokens, d]. */
export const pixelsInput = "pixel_values";
export const featureOutput = "features";
export const tokensOutput = "last_hidden_state";

/** What `buildTransformer` hands back: a graph with a symbolic batch, and what its feature is. */
export interface BuiltTransformer {
  readonly graph: Graph;
  /** How the feature was pooled, for people. */
  readonly pooled: string;
}

/**
 * Emits a Vision Transformer. Tokens stay a matrix [batch·tokens, d], so that every linear layer is one Gemm that
 * reads PyTorch's weights as they lie; query, key and value are one product, with 1/√(head size) and layer scales
 * taken into the weights.
 *
 * @param size height and width of the images; position embeddings are brought to it
 * @param pool what to make of the tokens; `auto` is the family's own feature
 * @throws ModelError for a size that is no multiple of the patch, and a pooling that the model does not have
 */
export async function buildTransformer(
  v: VisionTransformer,
  weights: Weights,
  size: Size,
  pool: Pool = "auto",
): Promise<BuiltTransformer> {
  if (size.some((side) => side < v.patch || side % v.patch !== 0)) {
    throw new ModelError(
      `Images of ${size[0]} × ${size[1]} pixels do not divide into patches of ${v.patch} × ${v.patch}, as ${v.family} ` +
        `has them. Choose a --size that is a multiple of ${v.patch} (${v.image[0]} is the model's own).`,
    );
  }
  const b = new GraphBuilder(undefined, "vit/");
  b.graph.name = v.family;
  b.input(pixelsInput, ["batch", 3, size[0], size[1]]);
  const layers = new Layers(b, v, weights);
  const grid = gridOf(v, size);
  const prefix = prefixTokens(v);
  const tokens = prefix + grid[0] * grid[1];

  let x = b.reshape(await embed(layers, size), [-1, v.width]);
  if (v.preNorm) x = await layers.norm(x, "preNorm");
  const rotation = rotationOf(layers, grid, prefix);
  for (let i = 0; i < v.depth; i++) {
    const block = await readBlock(v, weights, i);
    const part = (name: string) => `blocks.${i}.${name}`;
    const mixed = attention(layers, await layers.norm(x, part("norm1")), block.qkv, tokens, rotation);
    x = b.op("Add", [x, layers.linear(mixed, block.out)]);
    const expanded = layers.linear(await layers.norm(x, part("norm2")), block.up);
    let hidden = v.mlp === "plain" ? layers.activate(expanded, v.activation) : gated(layers, expanded);
    if (v.mlpNorm) hidden = await layers.norm(hidden, part("mlpNorm"));
    x = b.op("Add", [x, layers.linear(hidden, block.down)]);
  }
  const last = b.reshape(x, [-1, tokens, v.width]);
  const { value, width, pooled } = await feature(layers, last, tokens, pool);
  const all =
    v.finalNorm === "tokens" ? b.reshape(await layers.norm(x, "norm"), [-1, tokens, v.width]) : last;
  b.output(value, { dims: ["batch", width] }, featureOutput);
  b.output(all, { dims: ["batch", tokens, v.width] }, tokensOutput);
  return { graph: b.graph, pooled };
}

/** A rotation of queries and keys: its tables' names. */
interface Rotation {
  readonly cosines: string;
  readonly sines: string;
}

/** Emits the layers that blocks and heads share. */
class Layers {
  readonly b: GraphBuilder;
  readonly v: VisionTransformer;
  readonly weights: Weights;

  constructor(b: GraphBuilder, v: VisionTransformer, weights: Weights) {
    this.b = b;
    this.v = v;
    this.weights = weights;
  }

  /** x·Wᵀ + b of a matrix x. */
  linear(x: string, { weight, bias, to, from }: Linear): string {
    const inputs = [x, this.b.floats([to, from], weight)];
    if (bias) inputs.push(this.b.floats([to], bias));
    return this.b.op("Gemm", inputs, { transB: int(1) });
  }

  /** A layer normalisation along the last axis. */
  async norm(x: string, part: string): Promise<string> {
    const scale = await this.weights.floats(`${part}.weight`);
    const shift = await this.weights.floats(`${part}.bias`);
    const inputs = [x, this.b.floats([scale.length], scale), this.b.floats([shift.length], shift)];
    return this.b.op("LayerNormalization", inputs, { axis: int(-1), epsilon: float(this.v.epsilon) });
  }

  activate(x: string, activation: Activation): string {
    const { b } = this;
    if (activation === "gelu") return b.op("Gelu", [x], {}, "com.microsoft");
    if (activation === "gelu-tanh") return b.op("FastGelu", [x], {}, "com.microsoft");
    if (activation === "quick-gelu") return b.op("QuickGelu", [x], { alpha: float(1.702) }, "com.microsoft");
    return b.op("Mul", [x, b.op("Sigmoid", [x])]);
  }

  /** Two equal parts of the last axis. */
  halves(x: string): [string, string] {
    return this.b.ops("Split", [x], 2, { axis: int(-1), num_outputs: int(2) }) as [string, string];
  }
}

/** Patches as tokens, placed, behind the prefix tokens: [batch, tokens, d]. */
async function embed(layers: Layers, [height, width]: Size): Promise<string> {
  const { b, v, weights } = layers;
  const { patch, width: d } = v;
  const grid = gridOf(v, [height, width]);
  const cells = grid[0] * grid[1];
  // A matrix product for the convolution whose stride is its kernel: channels first in a patch, or last.
  const split = b.reshape(pixelsInput, [-1, 3, grid[0], patch, grid[1], patch]);
  const order = v.patchWeights === "matrix" ? [0, 2, 4, 3, 5, 1] : [0, 2, 4, 1, 3, 5];
  const patches = b.reshape(b.transpose(split, order), [-1, 3 * patch * patch]);
  const projection = await readLinear(weights, "patch", 3 * patch * patch, d, v.patchBias);
  let x = b.reshape(layers.linear(patches, projection), [-1, cells, d]);

  const prefix = prefixTokens(v);
  const first = new Float32Array(prefix * d);
  let row = 0;
  for (const [part, count] of [
    ["class", v.classToken ? 1 : 0],
    ["distillation", v.distillationToken ? 1 : 0],
    ["registers", v.registers],
  ] as const) {
    if (count > 0) first.set(await weights.floats(part), row * d);
    row += count;
  }
  if (v.position) {
    const table = await weights.floats("position");
    const covered = v.position.prefix * d;
    for (let i = 0; i < covered; i++) first[i]! += table[i]!;
    const own = gridOf(v, v.image);
    const placed = resamplePositions(table.subarray(covered), d, own, grid, v.position.resampling);
    x = b.op("Add", [x, b.floats([1, cells, d], placed)]);
  }
  if (prefix === 0) return x;
  const batch = b.op("Shape", [pixelsInput], { start: int(0), end: int(1) });
  const shape = b.op("Concat", [batch, b.ints([prefix, d])], { axis: int(0) });
  const spread = b.op("Expand", [b.floats([1, prefix, d], first), shape]);
  return b.op("Concat", [spread, x], { axis: int(1) });
}

function rotationOf({ b, v }: Layers, grid: Size, prefix: number): Rotation | undefined {
  if (v.rotary === undefined) return undefined;
  const headSize = v.width / v.heads;
  const { cosines, sines } = rotaryTables(v.rotary, grid, prefix, headSize);
  const dims = [prefix + grid[0] * grid[1], headSize];
  return { cosines: b.floats(dims, cosines), sines: b.floats(dims, sines) };
}

/** Softmax(q·kᵀ)·v of a matrix [batch·tokens, d] of normalised tokens, before the output product. */
function attention(
  layers: Layers,
  x: string,
  product: Linear,
  tokens: number,
  rotation: Rotation | undefined,
): string {
  const { b, v } = layers;
  const headSize = v.width / v.heads;
  const heads = [-1, v.heads, tokens, headSize];
  const qkv = b.transpose(
    b.reshape(layers.linear(x, product), [-1, tokens, 3, v.heads, headSize]),
    [2, 0, 3, 1, 4],
  );
  const split = (value: string, sizes: readonly number[]): string[] =>
    b.ops("Split", [value, b.ints(sizes)], sizes.length, { axis: int(0) });
  let parts: string[];
  if (rotation === undefined) parts = split(qkv, [1, 1, 1]);
  else {
    const [queriesAndKeys, values] = split(qkv, [2, 1]) as [string, string];
    parts = [...split(rotated(layers, queriesAndKeys, rotation), [1, 1]), values];
  }
  const [q, k, value] = parts.map((part) => b.reshape(part, heads)) as [string, string, string];
  const scores = b.op("Softmax", [b.op("MatMul", [q, b.exchange(k, 4)])], { axis: int(-1) });
  return b.reshape(b.transpose(b.op("MatMul", [scores, value]), [0, 2, 1, 3]), [-1, v.width]);
}

/** x·cos + (x with its halves exchanged)·(−sin, sin). */
function rotated(layers: Layers, x: string, { cosines, sines }: Rotation): string {
  const { b } = layers;
  const [first, second] = layers.halves(x);
  const exchanged = b.op("Concat", [second, first], { axis: int(-1) });
  return b.op("Add", [b.op("Mul", [x, cosines]), b.op("Mul", [exchanged, sines])]);
}

/** SwiGLU: silu(gate)·value, both of one product. */
function gated(layers: Layers, x: string): string {
  const [gate, value] = layers.halves(x);
  return layers.b.op("Mul", [layers.activate(gate, "silu"), value]);
}

/** The vector of an image, from the tokens after the last block [batch, tokens, d]. */
async function feature(
  layers: Layers,
  last: string,
  tokens: number,
  pool: Pool,
): Promise<{ value: string; width: number; pooled: string }> {
  const { b, v, weights } = layers;
  const { width: d } = v;
  const slice = (value: string, from: number, to: number): string =>
    b.op("Slice", [value, b.ints([from]), b.ints([to]), b.ints([1])]);
  const mean = (value: string): string => b.op("ReduceMean", [value, b.ints([1])], { keepdims: int(0) });
  const norm = (value: string) => layers.norm(value, finalNormPart(v));
  const pooling =
    pool === "auto" ? v.pooling : pool === "pooler" ? (v.attentionPool ? "attention" : "cls") : pool;
  if (pooling === "cls" && !v.classToken) throw poolError(v, pool, "has no class token", "mean or pooler");

  if (pooling === "attention") {
    const rows = b.reshape(last, [-1, d]);
    const normed = v.finalNorm === "tokens" ? await norm(rows) : rows;
    return { value: await attentionPool(layers, normed, tokens), width: d, pooled: "attention pooling" };
  }
  if (pooling === "cls") {
    const token = b.reshape(slice(last, 0, 1), [-1, d]);
    const value = await norm(token);
    if (pool === "pooler" && v.pooler !== undefined) {
      if (!weights.has("pooler.weight"))
        throw poolError(v, pool, "holds no weights of a pooler", "cls or mean");
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
  // The mean of the patches, or of the class and distillation tokens, normalised before or after as the family has it.
  const prefix = prefixTokens(v);
  const [from, to] = pooling === "prefix" ? [0, prefix] : [prefix, tokens];
  let part = slice(last, from, to);
  if (v.finalNorm === "tokens") part = await norm(part);
  let value = mean(part);
  if (v.finalNorm === "pooled") value = await norm(value);
  const pooled = pooling === "prefix" ? "mean of the class and distillation tokens" : "mean of the patches";
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
  const scores = b.op("Softmax", [b.op("MatMul", [q, b.exchange(k, 4)])], { axis: int(-1) });
  const mixed = b.reshape(b.op("MatMul", [scores, value]), [-1, d]);
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
    const { weight, bias } = await readLinear(weights, "pool.qkv", d, 3 * d, true);
    query = { weight: weight.slice(0, d * d), bias: bias!.slice(0, d), from: d, to: d };
    keyValue = { weight: weight.subarray(d * d), bias: bias!.subarray(d), from: d, to: 2 * d };
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
    `--pool ${pool} cannot be had of this model: ${v.family} ${what}. Choose ${instead}.`,
  );
}
