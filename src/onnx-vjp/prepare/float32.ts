import { protoOfDataType } from "../graph/data-type.ts";
import { fromHalf } from "../graph/half.ts";
import {
  type Attribute,
  type Attributes,
  type Constant,
  type DataType,
  type Graph,
  int,
  type Node,
  sizeOf,
  type ValueInfo,
} from "../graph/ir.ts";

/**
 * The graph with every half-precision value (float16, bfloat16) as float32: weights decoded, casts aimed at
 * float32, inputs and outputs redeclared. CPUs compute half precision several times slower, and gradients
 * need the range. float64 stays. Returns the graph itself where it holds no half precision.
 */
export function toFloat32(graph: Graph): Graph {
  return mentionsHalf(graph) ? convert(graph) : graph;
}

const isHalf = (dtype: DataType) => dtype === "float16" || dtype === "bfloat16";
const halves = new Set((["float16", "bfloat16"] as const).map(protoOfDataType));
/** Attributes that name an element type, by number. */
const typeAttributes = new Set(["to", "dtype"]);

function mentionsHalf(graph: Graph): boolean {
  return (
    [...graph.inputs, ...graph.outputs, ...graph.constants.values()].some(({ dtype }) => isHalf(dtype)) ||
    graph.nodes.some((node) =>
      Object.entries(node.attributes).some(([key, a]) => {
        if (a.kind === "graph") return mentionsHalf(a.value);
        if (a.kind === "tensor") return isHalf(a.value.dtype);
        return a.kind === "int" && typeAttributes.has(key) && halves.has(a.value);
      }),
    )
  );
}

function convert(graph: Graph): Graph {
  const declared = (info: ValueInfo): ValueInfo =>
    isHalf(info.dtype) ? { ...info, dtype: "float32" } : info;
  return {
    ...graph,
    inputs: graph.inputs.map(declared),
    outputs: graph.outputs.map(declared),
    constants: new Map([...graph.constants].map(([name, constant]) => [name, decoded(constant)])),
    nodes: graph.nodes.map((node) => ({ ...node, attributes: convertAttributes(node) })),
  };
}

function convertAttributes(node: Node): Attributes {
  return Object.fromEntries(
    Object.entries(node.attributes).map(([key, a]): [string, Attribute] => {
      if (a.kind === "graph") return [key, { kind: "graph", value: convert(a.value) }];
      if (a.kind === "tensor") return [key, { kind: "tensor", value: decoded(a.value) }];
      const named = a.kind === "int" && typeAttributes.has(key) && halves.has(a.value);
      return [key, named ? int(protoOfDataType("float32")) : a];
    }),
  );
}

/** A half-precision constant as float32; others as they are. */
function decoded(constant: Constant): Constant {
  const { dtype, dims, bytes } = constant;
  if (!isHalf(dtype)) return constant;
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const halfwords = new Uint16Array(aligned.buffer, aligned.byteOffset, sizeOf(dims));
  const words = new Uint32Array(halfwords.length);
  if (dtype === "bfloat16") for (let i = 0; i < words.length; i++) words[i] = halfwords[i] << 16;
  else fromHalf(halfwords, new Float32Array(words.buffer));
  return { dtype: "float32", dims, bytes: new Uint8Array(words.buffer) };
}
