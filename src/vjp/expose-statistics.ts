import { intAttribute, type Node, type TensorType, type TracedGraph } from "../graph/ir.ts";

/**
 * Adds their statistics (mean and inverse deviation) to the outputs of the normalisations that can hand them
 * out: small tensors that the pullback would otherwise compute again in three passes over the input.
 */
export function exposeStatistics(graph: TracedGraph): TracedGraph {
  const types = new Map(graph.types);
  const nodes = graph.nodes.map((node): Node => {
    const statistics = node.domain === "" ? statisticsOf[node.op] : undefined;
    if (statistics === undefined) return node;
    const { dtype, dims } = graph.types.get(node.inputs[0]!)!;
    const axis = intAttribute(node, "axis", -1);
    const first = axis < 0 ? axis + dims.length : axis;
    const type: TensorType = { dtype, dims: dims.map((d, i) => (i < first ? d : 1)) };
    const outputs = statistics.map((name, k) => node.outputs[k + 1] || `${node.outputs[0]}/${name}`);
    for (const output of outputs) types.set(output, type);
    return { ...node, outputs: [node.outputs[0]!, ...outputs] };
  });
  return { ...graph, nodes, types };
}

const statisticsOf: Readonly<Record<string, readonly string[]>> = {
  LayerNormalization: ["mean", "inverse-deviation"],
  SimplifiedLayerNormalization: ["inverse-deviation"],
};
