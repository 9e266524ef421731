import {
  type Node,
  operatorOf,
  sizeOf,
  type TensorType,
  type TracedGraph,
} from "../../src/onnx-vjp/graph/ir.ts";
import { activeValues } from "../../src/onnx-vjp/vjp/derive.ts";

/** Floating-point operations of products and convolutions; everything else counts as nothing. */
export interface Flops {
  readonly forward: number;
  /**
   * What the pullback needs at least: one product of the forward's size for each factor that depends on the
   * input. How the pullback is really written (zeros inserted, forward recomputed) does not enter.
   */
  readonly pullback: number;
}

/** Counts the work of a graph from its traced shapes. */
export function countFlops(graph: TracedGraph, wrt: readonly string[], of: readonly string[]): Flops {
  const active = activeValues(graph, wrt, of);
  let forward = 0;
  let pullback = 0;
  for (const node of graph.nodes) {
    const flops = flopsOf(node, graph.types);
    forward += flops;
    if (!active.has(node.outputs[0])) continue;
    pullback += flops * node.inputs.slice(0, 2).filter((input) => active.has(input)).length;
  }
  return { forward, pullback };
}

function flopsOf(node: Node, types: ReadonlyMap<string, TensorType>): number {
  const dims = (value: string | undefined) => types.get(value ?? "")?.dims ?? [];
  const [first, second] = [dims(node.inputs[0]), dims(node.inputs[1])];
  const out = sizeOf(dims(node.outputs[0]));
  switch (operatorOf(node)) {
    case "MatMul":
      return 2 * out * first.at(-1)!;
    case "Gemm": {
      const transposed = node.attributes.transA?.kind === "int" && node.attributes.transA.value === 1;
      return 2 * out * first[transposed ? 0 : 1];
    }
    case "Conv":
      // Weight [outputs, inputs of a group, kernel…].
      return 2 * out * sizeOf(second.slice(1));
    case "ConvTranspose":
      return 2 * sizeOf(first) * sizeOf(second.slice(1));
    default:
      return 0;
  }
}
