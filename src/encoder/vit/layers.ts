import type { VisionTransformer } from "./description.ts";
import type { Weights } from "./weights.ts";

/** A linear layer as PyTorch keeps it: weight [to, from], row-major, and a bias of `to` numbers or none. */
export interface Linear {
  readonly weight: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly from: number;
  readonly to: number;
}

/** The linear layer that the parts `part.weight` and `part.bias` make. */
export async function readLinear(
  weights: Weights,
  part: string,
  from: number,
  to: number,
  bias: boolean,
): Promise<Linear> {
  return {
    weight: await weights.floats(`${part}.weight`),
    bias: bias ? await weights.floats(`${part}.bias`) : undefined,
    from,
    to,
  };
}

/** A block's linear layers, ready to emit. */
export interface Block {
  /** d → 3·d: queries (divided by √(head size)), keys, values; heads in order. */
  readonly qkv: Linear;
  /** d → d, its layer scale taken in. */
  readonly out: Linear;
  /** d → hidden, or d → 2·hidden with the gate first. */
  readonly up: Linear;
  /** hidden → d, its layer scale taken in. */
  readonly down: Linear;
}

/** Reads the linear layers of block `index` and brings them to their common form. */
export async function readBlock(v: VisionTransformer, weights: Weights, index: number): Promise<Block> {
  const { width: d, hidden } = v;
  const part = (name: string) => `blocks.${index}.${name}`;
  const linear = (name: string, from: number, to: number, bias: boolean) =>
    readLinear(weights, part(name), from, to, bias);
  const scaled = async (layer: Linear, scale: string): Promise<Linear> =>
    v.layerScale ? scaleRows(layer, await weights.floats(part(scale))) : layer;

  const packed = v.mlp === "packed";
  const up =
    v.mlp === "gated"
      ? stack([await linear("gate", d, hidden, v.mlpBias), await linear("value", d, hidden, v.mlpBias)])
      : await linear(packed ? "packed" : "up", d, packed ? 2 * hidden : hidden, v.mlpBias);
  return {
    qkv: await readQueryKeyValue(v, weights, part),
    out: await scaled(await linear("out", d, d, v.outBias), "scale1"),
    up,
    down: await scaled(await linear(packed ? "packedDown" : "down", hidden, d, v.mlpBias), "scale2"),
  };
}

async function readQueryKeyValue(
  v: VisionTransformer,
  weights: Weights,
  part: (name: string) => string,
): Promise<Linear> {
  const { width: d } = v;
  let layer: Linear;
  if (v.qkv === "split") {
    layer = stack([
      await readLinear(weights, part("q"), d, d, v.queryBias),
      await readLinear(weights, part("k"), d, d, v.keyBias),
      await readLinear(weights, part("v"), d, d, v.valueBias),
    ]);
  } else {
    layer = await readLinear(weights, part("qkv"), d, 3 * d, v.qkv === "fused" && v.queryBias);
    if (v.qkv === "fused-apart-bias" && (v.queryBias || v.valueBias)) {
      const bias = new Float32Array(3 * d);
      if (v.queryBias) bias.set(await weights.floats(part("q.apart")), 0);
      if (v.valueBias) bias.set(await weights.floats(part("v.apart")), 2 * d);
      layer = { ...layer, bias };
    }
  }
  const headSize = d / v.heads;
  if (v.rotary?.pairs === "interleaved") layer = pairsToHalves(layer, headSize);
  const scale = new Float32Array(3 * d).fill(1).fill(1 / Math.sqrt(headSize), 0, d);
  return scaleRows(layer, scale);
}

/** Layers of one input, one after the other as one; those without a bias get zeros where another has one. */
function stack(layers: readonly Linear[]): Linear {
  const from = layers[0].from;
  const to = layers.reduce((sum, layer) => sum + layer.to, 0);
  const weight = new Float32Array(to * from);
  const bias = layers.some((layer) => layer.bias) ? new Float32Array(to) : undefined;
  let row = 0;
  for (const layer of layers) {
    weight.set(layer.weight, row * from);
    if (bias && layer.bias) bias.set(layer.bias, row);
    row += layer.to;
  }
  return { weight, bias, from, to };
}

/** The outputs [start, end) of a layer as a separate layer. */
export function rowsOf({ weight, bias, from }: Linear, start: number, end: number): Linear {
  return {
    weight: weight.slice(start * from, end * from),
    bias: bias?.slice(start, end),
    from,
    to: end - start,
  };
}

/** diag(scale)·(Wx + b) as one layer. */
function scaleRows({ weight, bias, from, to }: Linear, scale: Float32Array): Linear {
  const scaled = new Float32Array(weight.length);
  for (let i = 0; i < to; i++)
    for (let j = 0; j < from; j++) scaled[i * from + j] = weight[i * from + j] * scale[i];
  return { weight: scaled, bias: bias?.map((b, i) => b * scale[i]), from, to };
}

/**
 * Queries and keys with the features of each head reordered, the even ones first: neighbors that a rotary
 * embedding turns together end up half a head apart. Their inner products do not change.
 */
function pairsToHalves({ weight, bias, from, to }: Linear, headSize: number): Linear {
  const rows = (to / 3) * 2;
  const newWeight = weight.slice();
  const newBias = bias?.slice();
  for (let row = 0; row < rows; row++) {
    const i = row % headSize;
    const half = headSize / 2;
    const source = row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
    newWeight.set(weight.subarray(source * from, (source + 1) * from), row * from);
    if (newBias && bias) newBias[row] = bias[source];
  }
  return { weight: newWeight, bias: newBias, from, to };
}
