import { type Graph, intAttribute, type Node } from "../graph/ir.ts";

/**
 * The graph without what exporters write and ONNX Runtime refuses to run: MXNet marks a batch normalization as one of
 * pixels (spatial = 0) whose statistics are those of channels. Returns the graph itself where there is nothing of it.
 */
export function repaired(graph: Graph): Graph {
  let changed = false;
  const nodes = graph.nodes.map((node): Node => {
    if (node.op !== "BatchNormalization" || intAttribute(node, "spatial", 1) !== 0) return node;
    if (graph.constants.get(node.inputs[1] ?? "")?.dims.length !== 1) return node;
    changed = true;
    const { spatial: _, ...attributes } = node.attributes;
    return { ...node, attributes };
  });
  return changed ? { ...graph, nodes } : graph;
}
