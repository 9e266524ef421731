import { featuresOutput } from "../encoder/batched-features.ts";
import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import type { Node, TensorType, TracedGraph } from "../onnx-vjp/graph/ir.ts";
import type { FeatureMapState } from "../probe/feature-map.ts";
import type { Matrix } from "../probe/matrix.ts";

/** Names of the output [batch, C], and of the input that is added to the tensor of Grad-CAM. */
export const scoresOutput = "clp-dd/scores";
export const deltaInput = "clp-dd/delta";

/**
 * An encoder's graph continued to the probe's scores, with zeros of a new input added to `tensor`: the gradient with respect
 * to them is that with respect to the tensor, whoever reads it.
 */
export function explainGraph(
  graph: TracedGraph,
  tensor: string,
  { weight, map }: { readonly weight: Matrix; readonly map: FeatureMapState },
): TracedGraph {
  const types = new Map(graph.types);
  const type = types.get(tensor)!;
  const b = new GraphBuilder(
    { ...graph, inputs: [...graph.inputs], nodes: [], outputs: [], constants: new Map(graph.constants) },
    "clp-dd/explain/",
  );
  const plain = `${tensor}/plain`;
  types.set(plain, type);
  types.set(b.input(deltaInput, type.dims), type);
  for (const node of graph.nodes) {
    if (!node.outputs.includes(tensor)) {
      b.graph.nodes.push(node);
      continue;
    }
    const outputs = node.outputs.map((output) => (output === tensor ? plain : output));
    b.graph.nodes.push({ ...node, outputs } satisfies Node);
    b.named("Add", [plain, deltaInput], tensor);
  }
  const [batch, d] = types.get(featuresOutput)!.dims;
  const note = (name: string, dims: readonly number[]): string => {
    types.set(name, { dtype: "float32", dims } satisfies TensorType);
    return name;
  };
  const row = (values: Float64Array) => b.floats([1, d], values);
  let x: string = featuresOutput;
  if (map.mean) x = note(b.op("Sub", [x, row(map.mean)]), [batch, d]);
  if (map.std) x = note(b.op("Mul", [x, row(map.std.map((s) => 1 / s))]), [batch, d]);
  if (map.normalization.endsWith("l2")) {
    const squares = note(b.op("Mul", [x, x]), [batch, d]);
    const norm = note(b.op("Sqrt", [note(b.reduceSum(squares, [1], true), [batch, 1])]), [batch, 1]);
    x = note(b.op("Div", [x, norm]), [batch, d]);
  }
  b.named("MatMul", [x, b.floats([weight.rows, weight.cols], weight.data)], scoresOutput);
  note(scoresOutput, [batch, weight.cols]);
  b.graph.outputs.push({ name: scoresOutput, dtype: "float32", dims: [batch, weight.cols] });
  b.graph.outputs.push({ name: tensor, dtype: "float32", dims: type.dims });
  for (const [name, constant] of b.graph.constants) types.set(name, constant);
  return { ...b.graph, types };
}
