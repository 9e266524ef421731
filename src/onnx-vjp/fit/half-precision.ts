import { float32Of } from "../graph/constant.ts";
import { dataTypeOfProto, protoOfDataType } from "../graph/data-type.ts";
import { logical } from "../graph/elementwise-type.ts";
import { toHalf } from "../graph/half.ts";
import {
  type Constant,
  type DataType,
  type Graph,
  int,
  intAttribute,
  type Node,
  standardNode,
  type ValueInfo,
} from "../graph/ir.ts";
import { capturedNames } from "../graph/live.ts";

/** Operators that are worth half precision by themselves: a GPU has units for their products. */
const products = new Set(["Conv", "ConvTranspose", "Einsum", "FusedMatMul", "Gemm", "MatMul"]);

/** Operators that add up many numbers, or whose results leave half precision's range. */
const wide = new Set([
  ...["ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin"],
  ...["InstanceNormalization", "GroupNormalization", "BatchNormalization", "LpNormalization"],
  ...["SimplifiedLayerNormalization", "CumSum", "ScatterElements", "ScatterND", "ConstantOfShape"],
  ...["Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Softplus"],
]);

/** Inputs that keep their type whatever the others are: Resize's region and scales. */
const keptInputs: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/** Outputs that are float32 even in half precision: a LayerNormalization's mean and inverse standard deviation. */
const keptOutputs: Readonly<Record<string, readonly number[]>> = { LayerNormalization: [1, 2] };

/** Outputs of other types than the inputs'. */
const indices: Readonly<Record<string, readonly number[]>> = { MaxPool: [1], TopK: [1] };
const integers = new Set(["ArgMax", "ArgMin", "NonZero", "Shape", "Size"]);

export interface HalfOptions {
  /** Operators kept in float32 beside those that always are. */
  readonly wide?: ReadonlySet<string>;
  /** Outputs that another graph takes in: float16 where they are computed so. All others stay float32. */
  readonly handOver?: ReadonlySet<string>;
  /** Inputs that come as another call's `halves` says, in float16. */
  readonly handed?: ReadonlySet<string>;
}

export interface HalfPrecision {
  readonly graph: Graph;
  /** Of the outputs that were to be handed over, those that are float16. */
  readonly halves: ReadonlySet<string>;
}

/**
 * The graph in mixed precision, for GPUs: matrix products in float16, and the operators between them too; sums over many
 * values, exponentials and what only they lead to in float32. An operator that is neither follows its inputs: in
 * float16 where one of them is computed so, so that what is made of float32 inputs alone stays in float32 up to the
 * first product. Weights are rounded once; a value that is needed in both types is cast once.
 */
export function toHalfPrecision(graph: Graph, options: HalfOptions = {}): HalfPrecision {
  const pass = new HalfPass(graph, options);
  for (const node of graph.nodes) pass.rewrite(node);
  return pass.finish();
}

class HalfPass {
  private readonly nodes: Node[] = [];
  private readonly constants = new Map<string, Constant>();
  /** Floating values by the type they are computed in, and their casts into the other one. */
  private readonly native = new Map<string, "float32" | "float16">();
  private readonly casts = new Map<string, string>();
  /** Values that are true or false. */
  private readonly masks = new Set<string>();
  /** Values that a branch or a loop's body reads by name. */
  private readonly captured: ReadonlySet<string>;
  private readonly ranges = new Map<string, Range>();
  private readonly graph: Graph;
  private readonly options: HalfOptions;

  constructor(graph: Graph, options: HalfOptions) {
    this.graph = graph;
    this.options = options;
    this.captured = new Set(graph.nodes.flatMap((node) => [...capturedNames(node.attributes)]));
    for (const { name, dtype } of graph.inputs) {
      if (dtype === "float32") this.native.set(name, options.handed?.has(name) ? "float16" : "float32");
      if (dtype === "bool") this.masks.add(name);
    }
  }

  rewrite(node: Node): void {
    const narrow = this.isNarrow(node);
    const kept = keptInputs[node.op] ?? [];
    const inputs = node.inputs.map((input, i) => this.as(input, narrow && !kept.includes(i)));
    let { attributes } = node;
    if (node.op === "Cast") {
      const to = dataTypeOfProto(intAttribute(node, "to", 0));
      if (to === "float32" && narrow) attributes = { ...attributes, to: int(protoOfDataType("float16")) };
    }
    this.nodes.push({ ...node, inputs, attributes });
    for (const [k, output] of node.outputs.entries()) {
      if (output === "") continue;
      const type = this.outputType(node, k, narrow);
      if (type === "float32" || type === "float16") this.native.set(output, type);
    }
  }

  finish(): HalfPrecision {
    for (const name of [...this.captured, ...this.graph.outputs.map((output) => output.name)]) {
      const constant = this.graph.constants.get(name);
      if (constant !== undefined) this.constants.set(name, constant);
    }
    const halves = new Set<string>();
    const outputs = this.graph.outputs.map((output): ValueInfo => {
      if (this.native.get(output.name) !== "float16") return output;
      if (!this.options.handOver?.has(output.name)) return this.widened(output);
      halves.add(output.name);
      return { ...output, dtype: "float16" };
    });
    const inputs = this.graph.inputs.map(
      (input): ValueInfo =>
        this.native.get(input.name) === "float16" ? { ...input, dtype: "float16" } : input,
    );
    const { graph, nodes, constants } = this;
    return { graph: { ...graph, inputs, outputs, nodes, constants }, halves };
  }

  private isNarrow(node: Node): boolean {
    const subgraph = Object.values(node.attributes).some((a) => a.kind === "graph" || a.kind === "tensor");
    if (subgraph || wide.has(node.op) || this.options.wide?.has(node.op)) return false;
    if (node.outputs.some((output) => this.captured.has(output))) return false;
    if (node.inputs.some((input) => this.graph.constants.has(input) && !this.fits(input, node.op)))
      return false;
    if (products.has(node.op)) return node.inputs.every((input) => input === "" || this.isFloat(input));
    // A mask of zeros and ones is small enough for either type, and is multiplied with what products make.
    if (node.op === "Cast") return this.narrowCast(node);
    const made = node.inputs.map((input) => this.native.get(input)).filter((type) => type !== undefined);
    const isHalf = (type: string) => type === "float16";
    // A divisor that was kept in float32 may be too small for half precision, and the quotient too large.
    return node.op === "Div" ? made.length > 0 && made.every(isHalf) : made.some(isHalf);
  }

  /** Whether an operator's constant is still itself in half precision: a mask may be, an epsilon is not. */
  private fits(value: string, op: string): boolean {
    const constant = this.graph.constants.get(value)!;
    if (constant.dtype !== "float32") return true;
    let range = this.ranges.get(value);
    if (range === undefined) {
      range = rangeOf(float32Of(constant));
      this.ranges.set(value, range);
    }
    const { least, most } = range;
    if (most === 0) return true;
    if (products.has(op)) return most >= leastNormal && most <= largestHalf;
    if (op === "Mul" || op === "Div") return least >= leastNormal && most <= largestHalf;
    return most >= leastNormal;
  }

  private narrowCast(node: Node): boolean {
    const [input] = node.inputs;
    if (this.isFloat(input!)) return this.native.get(input!) === "float16";
    return this.masks.has(input!);
  }

  private outputType(node: Node, k: number, narrow: boolean): DataType | undefined {
    if (logical.has(node.op)) {
      this.masks.add(node.outputs[k]);
      return "bool";
    }
    if (integers.has(node.op) || indices[node.op]?.includes(k)) return "int64";
    if (node.op === "Cast") {
      const to = dataTypeOfProto(intAttribute(node, "to", 0));
      return to === "float32" ? (narrow ? "float16" : "float32") : to;
    }
    if (node.op === "ConstantOfShape") {
      const value = node.attributes.value;
      return value?.kind === "tensor" ? value.value.dtype : "float32";
    }
    // Operators on other types (shapes, indices) have no floating input.
    const made = node.inputs.length === 0 || node.inputs.some((input) => this.isFloat(input));
    if (!made) return undefined;
    if (keptOutputs[node.op]?.includes(k)) return "float32";
    return narrow ? "float16" : "float32";
  }

  private isFloat(value: string): boolean {
    return this.native.has(value) || this.graph.constants.get(value)?.dtype === "float32";
  }

  /** The name of a value in float16 or float32; other types have one name. */
  private as(value: string, half: boolean): string {
    const constant = this.graph.constants.get(value);
    if (constant !== undefined) return this.constantAs(value, constant, half);
    const native = this.native.get(value);
    if (native === undefined || (native === "float16") === half) return value;
    const known = this.casts.get(value);
    if (known !== undefined) return known;
    const name = `${value}/${half ? "half" : "float"}`;
    this.cast(value, name, half ? "float16" : "float32");
    this.casts.set(value, name);
    return name;
  }

  private constantAs(value: string, constant: Constant, half: boolean): string {
    const rounds = half && constant.dtype === "float32";
    const name = rounds ? `${value}/half` : value;
    if (!this.constants.has(name)) this.constants.set(name, rounds ? rounded(constant) : constant);
    return name;
  }

  private cast(from: string, to: string, dtype: "float16" | "float32"): void {
    const attributes = { to: int(protoOfDataType(dtype)) };
    this.nodes.push(standardNode("Cast", [from], to, attributes, `${to}/cast`));
  }

  /** An output in float32 under the name that it has: what computes it gets another. */
  private widened(output: ValueInfo): ValueInfo {
    const { name } = output;
    const half = `${name}/half`;
    for (const [i, node] of this.nodes.entries()) {
      const rename = (value: string) => (value === name ? half : value);
      if (!node.inputs.includes(name) && !node.outputs.includes(name)) continue;
      this.nodes[i] = { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
    }
    this.cast(half, name, "float32");
    return output;
  }
}

/** The sizes of a constant's numbers: the largest, and the smallest that is not zero. */
interface Range {
  readonly least: number;
  readonly most: number;
}

function rangeOf(values: Float32Array): Range {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const value of values) {
    const size = Math.abs(value);
    if (size > most) most = size;
    if (size > 0 && size < least) least = size;
  }
  return { least, most };
}

/** The smallest number with all of half precision's digits, and the largest. */
const leastNormal = 2 ** -14;
const largestHalf = 65504;

/** The bits of half precision's infinity and of the number before it, without their sign. */
const infinity = 0x7c00;
const largest = 0x7bff;

/** A constant in half precision: a mask's lowest number, or minus infinity, becomes the lowest that there is. */
function rounded(constant: Constant): Constant {
  const bits = toHalf(float32Of(constant));
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & 0x7fff) === infinity) bits[i] = (bits[i] & 0x8000) | largest;
  }
  return { dtype: "float16", dims: constant.dims, bytes: new Uint8Array(bits.buffer) };
}
