import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { float32Of } from "../onnx-vjp/graph/constant.ts";
import { toHalf } from "../onnx-vjp/graph/half.ts";
import { type Constant, type Graph, int, intAttribute, sizeOf } from "../onnx-vjp/graph/ir.ts";

/** How a classifier's weights are stored. All are computed with in float32, so that any device runs them. */
export const exportDtypes = ["fp32", "fp16", "q8"] as const;
export type ExportDtype = (typeof exportDtypes)[number];

/** Tensors with fewer numbers stay in float32: biases, means, matrices of the resize. */
const leastNumbers = 4096;

/** Names of the ONNX file of each type, which transformers.js looks for. */
export const modelFiles: Readonly<Record<ExportDtype, string>> = {
  fp32: "model.onnx",
  fp16: "model_fp16.onnx",
  q8: "model_quantized.onnx",
};

/** The graph with its weights stored as `dtype` says. */
export function stored(graph: Graph, dtype: ExportDtype): Graph {
  if (dtype === "fp32") return graph;
  const b = new GraphBuilder({ ...graph, nodes: [], constants: new Map() }, `clp-dd/${dtype}/`);
  const channels = dtype === "q8" ? channelAxes(graph) : undefined;
  for (const [name, constant] of graph.constants) {
    const isLarge = constant.dtype === "float32" && sizeOf(constant.dims) >= leastNumbers;
    const axis = channels?.get(name);
    if (!isLarge || (channels && axis === undefined)) {
      b.graph.constants.set(name, constant);
    } else if (axis !== undefined) {
      const { numbers, scales } = quantized(constant, axis);
      const inputs = [b.constant(numbers, `${name}/int8`), b.constant(scales, `${name}/scale`)];
      b.named("DequantizeLinear", inputs, name, { axis: int(axis) });
    } else {
      const half = halved(constant);
      if (half === undefined) b.graph.constants.set(name, constant);
      else b.named("Cast", [b.constant(half, `${name}/half`)], name, { to: int(1) });
    }
  }
  b.graph.nodes.push(...graph.nodes);
  return b.graph;
}

/** In half precision; undefined for numbers beyond its range. */
function halved(constant: Constant): Constant | undefined {
  const values = float32Of(constant);
  if (!values.every((value) => Math.abs(value) <= 65504)) return undefined;
  const bits = toHalf(values);
  return {
    dtype: "float16",
    dims: constant.dims,
    bytes: new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength),
  };
}

/** The axis of output channels of each weight that only products read, and read alike. */
function channelAxes(graph: Graph): Map<string, number> {
  const axes = new Map<string, number | undefined>();
  for (const node of graph.nodes) {
    for (const [i, input] of node.inputs.entries()) {
      const dims = graph.constants.get(input)?.dims;
      if (dims === undefined) continue;
      const axis = i !== 1 || node.domain !== "" ? undefined : weightAxis(node, dims.length);
      axes.set(input, axes.has(input) && axes.get(input) !== axis ? undefined : axis);
    }
  }
  return new Map([...axes].flatMap(([name, axis]) => (axis === undefined ? [] : [[name, axis] as const])));
}

function weightAxis(node: Graph["nodes"][number], rank: number): number | undefined {
  if (node.op === "Conv") return 0;
  if (node.op === "Gemm") return intAttribute(node, "transB", 0) === 1 ? 0 : 1;
  return node.op === "MatMul" ? rank - 1 : undefined;
}

/** Whole numbers from −127 to 127 with a scale for each channel: half of the largest step is the largest error. */
function quantized(constant: Constant, axis: number): { numbers: Constant; scales: Constant } {
  const { dims } = constant;
  const values = float32Of(constant);
  const channels = dims[axis];
  const inner = sizeOf(dims.slice(axis + 1));
  const channelOf = (i: number) => Math.floor(i / inner) % channels;
  const peaks = new Float32Array(channels);
  for (let i = 0; i < values.length; i++)
    peaks[channelOf(i)] = Math.max(peaks[channelOf(i)], Math.abs(values[i]));
  const scales = peaks.map((peak) => (peak > 0 ? peak / 127 : 1));
  const numbers = Int8Array.from(values, (value, i) => Math.round(value / scales[channelOf(i)]));
  return {
    numbers: { dtype: "int8", dims, bytes: new Uint8Array(numbers.buffer) },
    scales: { dtype: "float32", dims: [channels], bytes: new Uint8Array(scales.buffer) },
  };
}
