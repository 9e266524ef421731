import { numbersOf } from "../onnx-vjp/graph/constant.ts";
import {
  fromFront,
  intAttribute,
  intsAttribute,
  type Node,
  operatorOf,
  type TracedGraph,
} from "../onnx-vjp/graph/ir.ts";

/** Operators whose result has channels as its second axis. */
const second: ReadonlySet<string> = new Set([
  ...[
    "Conv",
    "ConvTranspose",
    "BatchNormalization",
    "InstanceNormalization",
    "MaxPool",
    "AveragePool",
    "LpPool",
  ],
  ...["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "DepthToSpace", "SpaceToDepth"],
]);

/** Operators that normalize, or make, what is on the last axis. */
const last: ReadonlySet<string> = new Set(["LayerNormalization", "SimplifiedLayerNormalization", "Gemm"]);

/** Operators that leave the axes of their first input where they are. */
const inPlace: ReadonlySet<string> = new Set([
  ...[
    "Slice",
    "Split",
    "Pad",
    "Resize",
    "Expand",
    "Tile",
    "CumSum",
    "Softmax",
    "LogSoftmax",
    "LpNormalization",
  ],
  "Trilu",
]);

/**
 * Which axis of `value` holds channels, as the operators that made it have it: the second behind convolutions, the last
 * behind layers that are linear in it. Undefined where nothing says so.
 *
 * @param input a value whose channel axis is known: the image
 */
export function channelAxisOf(
  graph: TracedGraph,
  value: string,
  input: { readonly name: string; readonly axis: number },
): number | undefined {
  const axes = new Map<string, number>([[input.name, input.axis]]);
  const walk = new AxisWalk(graph, axes);
  for (const node of graph.nodes) walk.visit(node);
  return axes.get(value);
}

class AxisWalk {
  private readonly graph: TracedGraph;
  private readonly axes: Map<string, number>;

  constructor(graph: TracedGraph, axes: Map<string, number>) {
    this.graph = graph;
    this.axes = axes;
  }

  visit(node: Node): void {
    for (const output of node.outputs) {
      const dims = output === "" ? undefined : this.graph.types.get(output)?.dims;
      const axis = dims && this.axisOf(node, dims);
      if (axis !== undefined) this.axes.set(output, axis);
    }
  }

  private dims(value: string): readonly number[] {
    return this.graph.types.get(value)?.dims ?? [];
  }

  private axisOf(node: Node, out: readonly number[]): number | undefined {
    const [x = ""] = node.inputs;
    const before = this.axes.get(x);
    const op = operatorOf(node);
    if (second.has(op)) return 1;
    if (last.has(op)) return out.length - 1;
    if (inPlace.has(op)) return before;
    switch (op) {
      case "MatMul":
        return this.ofProduct(node, out);
      case "Transpose": {
        const perm = intsAttribute(node, "perm");
        const axis = before === undefined ? -1 : (perm?.indexOf(before) ?? out.length - 1 - before);
        return axis < 0 ? undefined : axis;
      }
      case "Reshape":
        return before === undefined ? undefined : reshapedAxis(before, this.dims(x), out);
      case "Concat":
        return node.inputs.map((input) => this.axes.get(input)).find((axis) => axis !== undefined);
      case "Gather": {
        const [axis, rank] = [
          fromFront(intAttribute(node, "axis", 0), this.dims(x).length),
          this.dims(node.inputs[1]).length,
        ];
        if (before === undefined) return undefined;
        if (before === axis) return rank === 1 ? before : undefined;
        return before < axis ? before : before + rank - 1;
      }
      default:
        return op.startsWith("Reduce") ? this.ofReduction(node, before) : this.ofElements(node, out);
    }
  }

  /** A weight on the right makes new channels; on the left it mixes another axis. */
  private ofProduct(node: Node, out: readonly number[]): number | undefined {
    const [a, b] = node.inputs as readonly [string, string];
    if (!this.graph.constants.has(a)) return out.length - 1;
    const before = this.axes.get(b);
    return before === this.dims(b).length - 1 ? out.length - 1 : undefined;
  }

  private ofReduction(node: Node, before: number | undefined): number | undefined {
    const rank = this.dims(node.inputs[0]).length;
    const constant = this.graph.constants.get(node.inputs[1] ?? "");
    const reduced = (intsAttribute(node, "axes") ?? (constant ? [...numbersOf(constant)] : [])).map((axis) =>
      fromFront(axis, rank),
    );
    if (before === undefined || reduced.length === 0 || reduced.includes(before)) return undefined;
    if (intAttribute(node, "keepdims", 1) === 1) return before;
    return before - reduced.filter((axis) => axis < before).length;
  }

  /** Operators of elements: as their computed inputs have it, else along a constant of one axis. */
  private ofElements(node: Node, out: readonly number[]): number | undefined {
    let hint: number | undefined;
    for (const input of node.inputs) {
      const dims = this.dims(input);
      const lead = out.length - dims.length;
      const axis = this.axes.get(input);
      if (lead < 0) continue;
      if (axis !== undefined && dims[axis] === out[lead + axis]) return lead + axis;
      const wide = [...dims.keys()].filter((i) => dims[i] !== 1);
      if (this.graph.constants.has(input) && wide.length === 1) hint ??= lead + wide[0];
    }
    return hint;
  }
}

/** Where an axis is after a reshape: alone, split (its last part), or joined with axes before it (heads and sizes). */
function reshapedAxis(axis: number, from: readonly number[], to: readonly number[]): number | undefined {
  const before = product(from.slice(0, axis));
  const size = from[axis];
  // The axis covers strides from `inner` to `inner · size`.
  const inner = product(from.slice(axis + 1));
  let stride = 1;
  for (let k = to.length - 1; k >= 0; k--) {
    const d = to[k];
    if (d !== 1 && stride === inner) {
      const isPart = size % d === 0;
      const isJoined = d % size === 0 && before % (d / size) === 0;
      return isPart || isJoined ? k : undefined;
    }
    stride *= d;
  }
  return undefined;
}

const product = (sizes: readonly number[]): number => sizes.reduce((p, d) => p * d, 1);
