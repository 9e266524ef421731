import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { float32Of } from "../../src/onnx-vjp/graph/constant.ts";
import { type Graph, int, intAttribute, type Node, type TracedGraph } from "../../src/onnx-vjp/graph/ir.ts";
import { windowOf } from "../../src/onnx-vjp/graph/window.ts";

/**
 * The same function in operators that TensorFlow.js (bench/peers/js/tfjs-graph.js) and jax-js' loader have, in the
 * forms in which they are quick: a convolution by patches is one product, and global pooling a mean over two axes.
 */
export function portable(graph: TracedGraph): Graph {
  const nodes: Node[] = [];
  const b = new GraphBuilder({ ...graph, nodes, constants: new Map(graph.constants) }, "portable/");
  for (const node of graph.nodes) {
    if (node.op === "GlobalAveragePool") {
      b.named("ReduceMean", [node.inputs[0], b.ints([2, 3])], node.outputs[0], { keepdims: int(1) });
    } else if (!(node.op === "Conv" && patchProduct(b, graph, node))) nodes.push(node);
  }
  return b.graph;
}

/** Writes `node` as a product of rows of pixels if its windows neither overlap nor leave gaps or an edge. */
function patchProduct(b: GraphBuilder, graph: TracedGraph, node: Node): boolean {
  const [x, w, bias] = node.inputs as [string, string, string?];
  const weight = graph.constants.get(w);
  const dims = graph.types.get(x)!.dims as readonly number[];
  if (weight === undefined || dims.length !== 4 || intAttribute(node, "group", 1) !== 1) return false;
  const [outputs, channels, height, width] = weight.dims as readonly number[] as [
    number,
    number,
    number,
    number,
  ];
  const { strides, begin, end } = windowOf(node, [height, width]);
  const tiles = strides[0] === height && strides[1] === width && height * width > 1;
  const whole = dims[2] % height === 0 && dims[3] % width === 0;
  if (!tiles || !whole || [...begin, ...end].some((pad) => pad !== 0)) return false;
  const [n, rows, columns] = [dims[0], dims[2] / height, dims[3] / width];
  const from = channels * height * width;
  const values = float32Of(weight);
  const matrix = new Float32Array(from * outputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < from; i++) matrix[i * outputs + o] = values[o * from + i];
  }
  const cells = b.reshape(x, [n, channels, rows, height, columns, width]);
  const flat = b.reshape(b.transpose(cells, [0, 2, 4, 1, 3, 5]), [n * rows * columns, from]);
  const product = b.op("MatMul", [flat, b.floats([from, outputs], matrix)]);
  const sum = bias === undefined || bias === "" ? product : b.op("Add", [product, bias]);
  const placed = b.transpose(b.reshape(sum, [n, rows, columns, outputs]), [0, 3, 1, 2]);
  b.named("Identity", [placed], node.outputs[0]);
  return true;
}
