import { constantOf } from "./constant.ts";
import {
  type Attributes,
  type Constant,
  type DataType,
  type Graph,
  intsAttribute,
  standardNode,
} from "./ir.ts";

/** The operator set that every graph is lowered to and every builder emits. */
export const targetOpset = 18;

/**
 * Appends nodes and constants to a graph under fresh names. Rules, the Vision Transformer families and the
 * renderer all write through it.
 */
export class GraphBuilder {
  readonly graph: Graph;
  private readonly prefix: string;
  private count = 0;
  private readonly small = new Map<string, string>();
  private readonly transposes = new Map<
    string,
    { readonly source: string; readonly perm: readonly number[] }
  >();

  /** Writes into `graph`; `prefix` keeps names apart from those already there. */
  constructor(graph: Graph = emptyGraph(), prefix = "") {
    this.graph = graph;
    this.prefix = prefix;
    for (const node of graph.nodes) {
      const perm = node.op === "Transpose" && node.domain === "" ? intsAttribute(node, "perm") : undefined;
      if (perm) this.transposes.set(node.outputs[0], { source: node.inputs[0], perm });
    }
  }

  /** A name no other value of this builder has. */
  fresh(hint: string): string {
    return `${this.prefix}${hint}_${this.count++}`;
  }

  /** Declares a graph input and returns its name. */
  input(name: string, dims: readonly (number | string)[], dtype: DataType = "float32"): string {
    this.graph.inputs.push({ name, dtype, dims });
    return name;
  }

  /** Declares `value` as a graph output; under `name` (through an Identity) where one is given. */
  output(
    value: string,
    type: { dims: readonly (number | string)[]; dtype?: DataType },
    name = value,
  ): string {
    if (name !== value) this.named("Identity", [value], name);
    this.graph.outputs.push({ name, dtype: type.dtype ?? "float32", dims: type.dims });
    return name;
  }

  /** Adds a node with one output and returns the output's name. Absent optional inputs are "". */
  op(op: string, inputs: readonly string[], attributes: Attributes = {}, domain = ""): string {
    return this.ops(op, inputs, 1, attributes, domain)[0];
  }

  /** Adds a node with `outputs` outputs and returns their names. */
  ops(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Attributes = {},
    domain = "",
  ): string[] {
    const name = this.fresh(op);
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}:${i}`));
    this.graph.nodes.push({ op, domain, name, inputs, outputs: names, attributes });
    return names;
  }

  /** Adds a one-output node whose output has the given name. */
  named(op: string, inputs: readonly string[], output: string, attributes: Attributes = {}): string {
    this.graph.nodes.push(standardNode(op, inputs, output, attributes));
    return output;
  }

  /** Adds a constant under a fresh name (or `name`) and returns the name. Small ones are shared. */
  constant(constant: Constant, name?: string): string {
    const key = name === undefined && constant.bytes.byteLength <= 256 ? keyOf(constant) : undefined;
    const known = key === undefined ? undefined : this.small.get(key);
    if (known !== undefined) return known;
    const fresh = name ?? this.fresh("constant");
    this.graph.constants.set(fresh, constant);
    if (key !== undefined) this.small.set(key, fresh);
    return fresh;
  }

  /** A float32 scalar (rank 0) constant. */
  scalar(value: number, dtype: DataType = "float32"): string {
    return this.constant(constantOf(dtype, [], [value]));
  }

  /** A float32 constant of the given shape. */
  floats(dims: readonly number[], values: ArrayLike<number>): string {
    return this.constant(constantOf("float32", dims, values));
  }

  /** A one-dimensional int64 constant: shapes, axes, pads, starts, … */
  ints(values: readonly number[]): string {
    return this.constant(constantOf("int64", [values.length], values));
  }

  reshape(x: string, dims: readonly number[]): string {
    return this.op("Reshape", [x, this.ints(dims)]);
  }

  /** Permutes the axes of `x`; of a value that is a transpose already, in one node or none. */
  transpose(x: string, perm: readonly number[]): string {
    const before = this.transposes.get(x);
    if (before !== undefined)
      return this.transpose(
        before.source,
        perm.map((axis) => before.perm[axis]),
      );
    if (perm.every((axis, i) => axis === i)) return x;
    const y = this.op("Transpose", [x], { perm: { kind: "ints", value: perm } });
    this.transposes.set(y, { source: x, perm });
    return y;
  }

  /**
   * The last two axes of `x` exchanged, as a separate node (or none, where `x` is one): ONNX Runtime takes it
   * into the product that reads it, which it does with no other permutation.
   */
  exchange(x: string, rank: number): string {
    const perm = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
    const before = this.transposes.get(x);
    if (before !== undefined && String(before.perm) === String(perm)) return before.source;
    return this.op("Transpose", [x], { perm: { kind: "ints", value: perm } });
  }

  /** Sums over `axes`. */
  reduceSum(x: string, axes: readonly number[], keepdims: boolean): string {
    return this.op("ReduceSum", [x, this.ints(axes)], { keepdims: { kind: "int", value: keepdims ? 1 : 0 } });
  }
}

/** A graph without nodes. */
export function emptyGraph(name = "graph"): Graph {
  return { name, opset: targetOpset, inputs: [], outputs: [], nodes: [], constants: new Map() };
}

function keyOf(constant: Constant): string {
  return `${constant.dtype}[${constant.dims}]${Array.from(constant.bytes).join(",")}`;
}
