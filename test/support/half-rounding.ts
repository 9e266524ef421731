import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { constantOf, float32Of } from "../../src/onnx-vjp/graph/constant.ts";
import { protoOfDataType } from "../../src/onnx-vjp/graph/data-type.ts";
import {
  type Constant,
  type Graph,
  int,
  intAttribute,
  type Node,
  type ValueInfo,
} from "../../src/onnx-vjp/graph/ir.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { inferredTypes } from "../../src/onnx-vjp/prepare/measure.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const float16 = protoOfDataType("float16");

/** The element types of a graph's values as ONNX Runtime infers them; it refuses a graph whose types do not fit. */
export async function elementTypes(graph: Graph): Promise<(value: string) => string | undefined> {
  const made = graph.nodes.flatMap((node) => node.outputs.filter((output) => output !== ""));
  const inferred = await inferredTypes(runtime, graph, made);
  const inputs = new Map(graph.inputs.map((input) => [input.name, input]));
  return (value) => (inferred.get(value) ?? inputs.get(value) ?? graph.constants.get(value))?.dtype;
}

/**
 * A runtime that is float32 but for the values that a graph has in float16: those it rounds, as a card would. On the
 * CPU, ONNX Runtime computes them in float32 and leaves out what casts it can, so that hardly anything is ever too small
 * or too large for half precision.
 */
export const roundingRuntime: Runtime = {
  ...runtime,
  session: async (graph, options) => runtime.session(await withRounding(graph), options),
};

/** The graph in float32, each value that was float16 rounded by arithmetic. */
async function withRounding(graph: Graph): Promise<Graph> {
  const typeOf = await elementTypes(graph);
  const wide = (value: ValueInfo): ValueInfo =>
    value.dtype === "float16" ? { ...value, dtype: "float32" } : value;
  const constants = new Map(
    [...graph.constants].map(([name, constant]) => [name, widened(constant)] as const),
  );
  const b = new GraphBuilder(
    { ...graph, inputs: graph.inputs.map(wide), outputs: graph.outputs.map(wide), nodes: [], constants },
    "rounding/",
  );
  for (const node of graph.nodes) {
    const exact = (output: string) => (typeOf(output) === "float16" ? `${output}/exact` : output);
    b.graph.nodes.push({ ...toFloat32(node), outputs: node.outputs.map(exact) });
    for (const output of node.outputs) if (exact(output) !== output) round(b, exact(output), output);
  }
  return b.graph;
}

function widened(constant: Constant): Constant {
  return constant.dtype === "float16" ? constantOf("float32", constant.dims, float32Of(constant)) : constant;
}

function toFloat32(node: Node): Node {
  if (node.op !== "Cast" || intAttribute(node, "to", 0) !== float16) return node;
  return { ...node, attributes: { ...node.attributes, to: int(protoOfDataType("float32")) } };
}

/** Rounds float32 numbers to the nearest of half precision: 11 digits, multiples of 2⁻²⁴, at most 65504. */
function round(b: GraphBuilder, value: string, output: string): void {
  const x = b.op("Max", [b.op("Min", [value, b.scalar(2 ** 20)]), b.scalar(-(2 ** 20))]);
  const shifted = b.op("Mul", [x, b.scalar(2 ** 13 + 1)]);
  const normal = b.op("Sub", [shifted, b.op("Sub", [shifted, x])]);
  const subnormal = b.op("Sub", [b.op("Add", [x, b.scalar(0.75)]), b.scalar(0.75)]);
  const size = b.op("Abs", [x]);
  const finite = b.op("Where", [b.op("Less", [size, b.scalar(2 ** -14)]), subnormal, normal]);
  const infinite = b.op("Mul", [x, b.scalar(Number.POSITIVE_INFINITY)]);
  const inputs = [b.op("GreaterOrEqual", [size, b.scalar(65520)]), infinite, finite];
  const outputs = [output];
  b.graph.nodes.push({ op: "Where", domain: "", name: `${output}/rounded`, inputs, outputs, attributes: {} });
}
