import { fromFront, intAttribute, type Node, type TensorType, type TracedGraph } from "../graph/ir.ts";

/**
 * Adds what the pullback would otherwise compute again to the outputs of the operators that can hand it out: the
 * statistics (mean and inverse standard deviation) of normalizations, the positions of a pool's maxima.
 */
export function exposeStatistics(graph: TracedGraph): TracedGraph {
  const types = new Map(graph.types);
  const nodes = graph.nodes.map((node): Node => {
    const type = graph.types.get(node.inputs[0] ?? "");
    const statistics = node.domain === "" && type ? statisticsOf(node, type, graph) : [];
    if (statistics.length === 0) return node;
    const outputs = statistics.map(({ name, type }, k) => {
      const output = node.outputs[k + 1] || `${node.outputs[0]}/${name}`;
      types.set(output, type);
      return output;
    });
    return { ...node, outputs: [node.outputs[0], ...outputs] };
  });
  return { ...graph, nodes, types };
}

function statisticsOf(
  node: Node,
  { dtype, dims }: TensorType,
  graph: TracedGraph,
): { name: string; type: TensorType }[] {
  const reduced = (...names: string[]) => {
    // ONNX has them as float32 alone, and ONNX Runtime refuses them of an input in double precision.
    if (dtype !== "float32") return [];
    const first = fromFront(intAttribute(node, "axis", -1), dims.length);
    const type: TensorType = { dtype, dims: dims.map((d, i) => (i < first ? d : 1)) };
    return names.map((name) => ({ name, type }));
  };
  switch (node.op) {
    case "LayerNormalization":
      return reduced("mean", "inverse-deviation");
    case "SimplifiedLayerNormalization":
      return reduced("inverse-deviation");
    case "MaxPool":
      if (intAttribute(node, "storage_order", 0) !== 0) return [];
      return [{ name: "positions", type: { dtype: "int64", dims: graph.types.get(node.outputs[0])!.dims } }];
    default:
      return [];
  }
}
