import { constantOf } from "./constant.ts";
import type { Attributes, Constant, DataType, Graph, TensorType, ValueInfo } from "./ir.ts";

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

  /** Writes into `graph`; `prefix` keeps names apart from those already there. */
  constructor(graph: Graph = emptyGraph(), prefix = "") {
    this.graph = graph;
    this.prefix = prefix;
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
    return this.ops(op, inputs, 1, attributes, domain)[0]!;
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
    this.graph.nodes.push({ op, domain: "", name: output, inputs, outputs: [output], attributes });
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

  transpose(x: string, perm: readonly number[]): string {
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

/** The declaration of a value with a known static type. */
export function valueInfo(name: string, type: TensorType): ValueInfo {
  return { name, dtype: type.dtype, dims: type.dims };
}

function keyOf(constant: Constant): string {
  return `${constant.dtype}[${constant.dims}]${Array.from(constant.bytes).join(",")}`;
}
