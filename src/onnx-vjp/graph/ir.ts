import type { NodeName } from "../errors.ts";

/**
 * An ONNX graph in memory: plain objects that passes read and rebuild. Values are named by strings, as in
 * ONNX; a name is written by one node, one graph input or one constant.
 */

/** Element types that a graph may hold. Only float32 and float64 values are differentiated. */
export type DataType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "bool"
  | "string";

/** Bytes per element; strings have none. */
export const bytesPerElement: Readonly<Record<DataType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
  string: 0,
};

/** A value's static type: every dimension a number, known after tracing. */
export interface TensorType {
  readonly dtype: DataType;
  readonly dims: readonly number[];
}

/** A graph input or output as declared in the file: a dimension may be a name, or unknown (""). */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DataType;
  readonly dims: readonly (number | string)[];
  /** false: the number of dimensions is not known either, and `dims` is empty. */
  readonly ranked?: false;
  /** false: nothing is declared, in the body of a branch or loop; `dtype` says nothing. */
  readonly typed?: false;
  /** A sequence of such tensors, in the body of a branch or loop. */
  readonly sequence?: true;
}

/** A constant tensor: little-endian raw bytes, as in the file, decoded only when somebody asks. */
export interface Constant extends TensorType {
  readonly bytes: Uint8Array;
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "strings"; readonly value: readonly string[] }
  | { readonly kind: "tensor"; readonly value: Constant }
  | { readonly kind: "graph"; readonly value: Graph };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One operator. An absent optional input or output is the empty string. */
export interface Node {
  readonly op: string;
  /** "" is the standard ONNX domain. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

export interface Graph {
  name: string;
  /** Version of the standard operator set. */
  opset: number;
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  /** In execution order. */
  nodes: Node[];
  constants: Map<string, Constant>;
}

/** A graph whose every value has a known static type. */
export interface TracedGraph extends Graph {
  types: Map<string, TensorType>;
}

export const int = (value: number): Attribute => ({ kind: "int", value });
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });
export const float = (value: number): Attribute => ({ kind: "float", value });
export const text = (value: string): Attribute => ({ kind: "string", value });

/** The int attribute `key` of `node`, or `fallback` where it is absent. */
export function intAttribute(node: Node, key: string, fallback: number): number {
  const a = node.attributes[key];
  return a?.kind === "int" ? a.value : fallback;
}

/** The float attribute `key` of `node`, or `fallback` where it is absent. */
export function floatAttribute(node: Node, key: string, fallback: number): number {
  const a = node.attributes[key];
  return a?.kind === "float" ? a.value : fallback;
}

/** The ints attribute `key` of `node`, or undefined where it is absent. */
export function intsAttribute(node: Node, key: string): readonly number[] | undefined {
  const a = node.attributes[key];
  return a?.kind === "ints" ? a.value : undefined;
}

/** The string attribute `key` of `node`, or `fallback` where it is absent. */
export function stringAttribute(node: Node, key: string, fallback: string): string {
  const a = node.attributes[key];
  return a?.kind === "string" ? a.value : fallback;
}

/** A node of the standard domain, named after its first output unless a name is given. */
export function standardNode(
  op: string,
  inputs: readonly string[],
  outputs: string | readonly string[],
  attributes: Attributes = {},
  name?: string,
): Node {
  const all = typeof outputs === "string" ? [outputs] : outputs;
  return { op, domain: "", name: name ?? all[0], inputs, outputs: all, attributes };
}

/** A node that passes `input` on as `output`. */
export const identity = (input: string, output: string): Node => standardNode("Identity", [input], output);

/** Number of elements of a static shape. */
export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, d) => product * d, 1);
}

/** An axis of `size` axes, or an index of `size`, counted from the front: a negative one counts from the end. */
export function fromFront(index: number, size: number): number {
  return index < 0 ? index + size : index;
}

/** A node's key in tables by operator: its op, with its domain unless that is the standard one. */
export function operatorOf(node: Node): string {
  return node.domain === "" ? node.op : `${node.domain}.${node.op}`;
}

/** How errors name a node: its op and its name, or its first output where it has no name. */
export function nameOfNode(node: Node): NodeName {
  return { op: operatorOf(node), name: node.name || node.outputs.find((o) => o !== "") || "?" };
}

/** A node's name in one text. */
export function describeNode(node: Node): string {
  const { op, name } = nameOfNode(node);
  return `${op} "${name}"`;
}
