import { ModelError } from "../../errors.ts";
import { GraphBuilder } from "../../onnx-vjp/graph/builder.ts";
import { type Graph, int } from "../../onnx-vjp/graph/ir.ts";
import type { Pool } from "../encoder-model.ts";
import { gridOf, prefixTokens, type Size, type VisionTransformer } from "./description.ts";
import { Layers } from "./emit.ts";
import { type Linear, readBlock, readLinear } from "./layers.ts";
import { resamplePositions, rotaryTables } from "./positions.ts";
import { classFeature, poolingOf, tokensFeature } from "./vit-head.ts";
import type { Weights } from "./weights.ts";

/** Names of the graph's image input, of the chosen feature [batch, d], and of all tokens [batch, tokens, d]. */
export const pixelsInput = "pixel_values";
export const featureOutput = "features";
const tokensOutput = "last_hidden_state";

/** What `buildTransformer` hands back: a graph with a symbolic batch, and what its feature is. */
export interface BuiltTransformer {
  readonly graph: Graph;
  /** How the feature was pooled, for people. */
  readonly pooled: string;
}

/**
 * Emits a Vision Transformer. Tokens stay a matrix [batch·tokens, d], so that every linear layer is one Gemm that
 * reads PyTorch's weights as they are stored; query, key and value are one product, with 1/√(head size) and layer scales
 * taken into the weights. Every block is written for all tokens; what the feature does not need of them goes when
 * the graph is prepared.
 *
 * @param size height and width of the images; position embeddings are brought to it
 * @param pool what to make of the tokens; `auto` is the family's own feature
 * @throws ModelError for a size that is not a multiple of the patch, and a pooling that the model does not have
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
        `has them. Choose a \`size\` that is a multiple of ${v.patch} (${v.image[0]} is the model's own).`,
    );
  }
  const b = new GraphBuilder(undefined, "vit/");
  b.graph.name = v.family;
  b.input(pixelsInput, ["batch", 3, size[0], size[1]]);
  const layers = new Layers(b, v, weights);
  const grid = gridOf(v, size);
  const prefix = prefixTokens(v);
  const tokens = prefix + grid[0] * grid[1];

  const pooling = poolingOf(v, weights, pool);
  const rows = (value: string) => b.reshape(value, [-1, tokens, v.width]);

  let x = b.reshape(await embed(layers, size), [-1, v.width]);
  if (v.preNorm) x = await layers.norm(x, "preNorm");
  const rotation = rotationOf(layers, grid, prefix);
  for (let i = 0; i < v.depth; i++) {
    const block = await readBlock(v, weights, i);
    const part = (name: string) => `blocks.${i}.${name}`;
    const normed = await layers.norm(x, part("norm1"));
    const mixed = attention(layers, normed, block.qkv, tokens, rotation);
    x = b.op("Add", [x, layers.linear(mixed, block.out)]);
    const expanded = layers.linear(await layers.norm(x, part("norm2")), block.up);
    let hidden = v.mlp === "plain" ? layers.activate(expanded, v.activation) : gated(layers, expanded);
    if (v.mlpNorm) hidden = await layers.norm(hidden, part("mlpNorm"));
    x = b.op("Add", [x, layers.linear(hidden, block.down)]);
  }
  const feature =
    pooling === "cls"
      ? await classFeature(layers, b.reshape(layers.tokens(rows(x), 0, 1), [-1, v.width]), pool)
      : await tokensFeature(layers, rows(x), tokens, pooling);
  b.output(feature.value, { dims: ["batch", feature.width] }, featureOutput);
  const all = v.finalNorm === "tokens" ? rows(await layers.norm(x, "norm")) : rows(x);
  b.output(all, { dims: ["batch", tokens, v.width] }, tokensOutput);
  return { graph: b.graph, pooled: feature.pooled };
}

/** A rotation of queries and keys: its tables' names. */
interface Rotation {
  readonly cosines: string;
  readonly sines: string;
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
    for (let i = 0; i < covered; i++) first[i] += table[i];
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

/** Softmax(q·kᵀ)·v of a matrix [batch·tokens, d] of normalized tokens, before the output product. */
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
  let parts: string[];
  if (rotation === undefined) parts = headParts(layers, x, product, tokens, [1, 1, 1]);
  else {
    const [queriesAndKeys, values] = headParts(layers, x, product, tokens, [2, 1]) as [string, string];
    parts = [...splitFirst(layers, rotated(layers, queriesAndKeys, rotation), [1, 1]), values];
  }
  const [q, k, value] = parts.map((part) => b.reshape(part, heads)) as [string, string, string];
  return layers.mix(q, k, value, tokens);
}

/** A linear layer's outputs by head, each [size, batch, heads, tokens, head size]: its rows in groups of `sizes`·d. */
function headParts(
  layers: Layers,
  x: string,
  product: Linear,
  tokens: number,
  sizes: readonly number[],
): string[] {
  const { b, v } = layers;
  const count = sizes.reduce((sum, size) => sum + size);
  const outputs = b.reshape(layers.linear(x, product), [-1, tokens, count, v.heads, v.width / v.heads]);
  return splitFirst(layers, b.transpose(outputs, [2, 0, 3, 1, 4]), sizes);
}

const splitFirst = ({ b }: Layers, value: string, sizes: readonly number[]): string[] =>
  b.ops("Split", [value, b.ints(sizes)], sizes.length, { axis: int(0) });

/** x·cos + (x with its halves exchanged)·(−sin, sin). */
function rotated(layers: Layers, x: string, { cosines, sines }: Rotation): string {
  const { b } = layers;
  const [first, second] = layers.halves(x);
  const exchanged = b.op("Concat", [second, first], { axis: int(-1) });
  return b.op("Add", [b.op("Mul", [x, cosines]), b.op("Mul", [exchanged, sines])]);
}

/** activation(gate)·value, both of one product (SwiGLU, where the activation is silu). */
function gated(layers: Layers, x: string): string {
  const [gate, value] = layers.halves(x);
  return layers.b.op("Mul", [layers.activate(gate, layers.v.activation), value]);
}
