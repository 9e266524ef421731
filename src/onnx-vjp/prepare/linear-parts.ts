import { numbersOf } from "../graph/constant.ts";
import {
  type Constant,
  floatAttribute,
  intAttribute,
  type Node,
  sizeOf,
  standardNode,
  type TracedGraph,
} from "../graph/ir.ts";

/** A node that is linear in its first input, with constant weights. */
export interface Linear {
  readonly node: Node;
  readonly weight: Constant;
  /** The output channel that each weight belongs to, by its index along the first two axes. */
  readonly channelOf: (first: number, second: number) => number;
  /** One number per channel; zeros where the node has none. */
  readonly bias: Float64Array;
  /** The output's channel axis. */
  readonly axis: number;
}

/** `node` as a linear one; undefined where it is none, or its parameters are computed. */
export function linearOf(graph: TracedGraph, node: Node): Linear | undefined {
  const weight = node.domain === "" ? graph.constants.get(node.inputs[1] ?? "") : undefined;
  const channelOf = weight?.dtype === "float32" ? channelsOf(node, weight) : undefined;
  if (weight === undefined || channelOf === undefined) return undefined;
  const { dims } = graph.types.get(node.outputs[0])!;
  const axis = node.op === "MatMul" ? dims.length - 1 : 1;
  const channels = dims[axis];
  const given = node.op === "MatMul" ? "" : (node.inputs[2] ?? "");
  if (given === "") return { node, weight, channelOf, axis, bias: new Float64Array(channels) };
  // A convolution's bias has one axis; a Gemm's is broadcast to its rows and has a factor.
  const [place, rank, beta] = node.op === "Gemm" ? [1, 2, floatAttribute(node, "beta", 1)] : [0, 1, 1];
  const bias = perChannel(graph, given, channels, place, rank);
  return bias && { node, weight, channelOf, axis, bias: bias.map((b) => b * beta) };
}

function channelsOf(node: Node, weight: Constant): Linear["channelOf"] | undefined {
  switch (node.op) {
    case "Conv":
      return (m) => m;
    case "ConvTranspose": {
      const [C, perGroup] = weight.dims as [number, number];
      const inGroup = C / intAttribute(node, "group", 1);
      return (c, m) => Math.floor(c / inGroup) * perGroup + m;
    }
    case "Gemm":
      return intAttribute(node, "transB", 0) === 1 ? (n) => n : (_, n) => n;
    case "MatMul":
      return weight.dims.length === 2 ? (_, n) => n : undefined;
    default:
      return undefined;
  }
}

/** The node with other parameters and another output; a MatMul's bias is an addition. */
export function written(node: Node, weight: string, bias: string | undefined, output: string): Node[] {
  const { beta: _, ...attributes } = node.attributes;
  const inputs = [node.inputs[0], weight];
  if (bias === undefined) return [{ ...node, inputs, outputs: [output], attributes }];
  if (node.op !== "MatMul") return [{ ...node, inputs: [...inputs, bias], outputs: [output], attributes }];
  const product = `${output}/product`;
  return [
    { ...node, name: product, inputs, outputs: [product] },
    standardNode("Add", [product, bias], output),
  ];
}

/**
 * The numbers of a constant that is broadcast to values of rank `rank` with one number for each index of `axis`, or
 * with the same number everywhere; undefined for any other value.
 */
export function perChannel(
  graph: TracedGraph,
  name: string,
  channels: number,
  axis: number,
  rank: number,
): Float64Array | undefined {
  const constant = graph.constants.get(name);
  if (constant === undefined || constant.dtype !== "float32") return undefined;
  const size = sizeOf(constant.dims);
  const fromEnd = constant.dims.length - rank + axis;
  const alone = size === channels && constant.dims[fromEnd] === channels && constant.dims.length <= rank;
  if (size === 1 && constant.dims.length <= rank)
    return new Float64Array(channels).fill(numbersOf(constant)[0]);
  return alone ? numbersOf(constant) : undefined;
}
