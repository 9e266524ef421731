import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { int64Of, numbersOf } from "../onnx-vjp/graph/constant.ts";
import { type Constant, type Graph, int, type Node } from "../onnx-vjp/graph/ir.ts";

/** A graph traced at some batch. */
export interface AtBatch {
  readonly batch: number;
  readonly graph: Graph;
}

/**
 * The graph for any batch, from two that were traced at different ones: what differs between them depends on the batch.
 * Whole numbers (shapes) that differ are taken as linear in the batch, and tensors that repeat the same slice as one
 * slice that is expanded.
 *
 * @returns undefined where the graphs differ in other ways: then the batch is part of the model
 */
export function withOpenBatch(one: AtBatch, other: AtBatch, input: string): Graph | undefined {
  const { graph } = one;
  if (!sameNodes(graph.nodes, other.graph.nodes)) return undefined;
  const b = new GraphBuilder({ ...graph, nodes: [], constants: new Map() }, "clp-dd/batch/");
  const shapes = new Set(graph.nodes.flatMap(({ op, inputs }) => (op === "Reshape" ? [inputs[1]] : [])));
  const otherReads = new Set(
    graph.nodes.flatMap(({ op, inputs }) => inputs.filter((_, i) => op !== "Reshape" || i !== 1)),
  );
  let batch: string | undefined;
  const batchOf = () => {
    batch ??= b.op("Slice", [b.op("Shape", [input]), b.ints([0]), b.ints([1])]);
    return batch;
  };
  for (const [name, constant] of graph.constants) {
    const twin = other.graph.constants.get(name);
    if (twin === undefined) return undefined;
    if (isSame(constant, twin)) {
      b.graph.constants.set(name, constant);
      continue;
    }
    const [at, size, otherSize] = [repeatedAxis(constant, twin), one.batch, other.batch];
    if (
      constant.dtype === "int64" &&
      constant.dims.length <= 1 &&
      String(constant.dims) === String(twin.dims)
    ) {
      const [values, others] = [numbersOf(constant), numbersOf(twin)];
      const slopes = values.map((v, i) => (others[i] - v) / (otherSize - size));
      if (!slopes.every(Number.isInteger)) return undefined;
      const open = shapes.has(name) && !otherReads.has(name) ? openShape(values, slopes, size) : undefined;
      if (open !== undefined) {
        b.graph.constants.set(name, int64s(open, constant.dims));
        continue;
      }
      const rest = b.constant(
        int64s(
          values.map((v, i) => v - slopes[i] * size),
          constant.dims,
        ),
      );
      const share = b.op("Mul", [batchOf(), b.constant(int64s(slopes, constant.dims))]);
      const value = constant.dims.length === 0 ? b.op("Squeeze", [share, b.ints([0])]) : share;
      b.named("Add", [rest, value], name);
    } else if (at !== undefined && constant.dims[at] === size && twin.dims[at] === otherSize) {
      const slice = b.constant(sliceOf(constant, at), `${name}/one`);
      const ones = (count: number) => (count === 0 ? [] : [b.ints(Array<number>(count).fill(1))]);
      const parts = [...ones(at), batchOf(), ...ones(constant.dims.length - at - 1)];
      const shape = parts.length === 1 ? parts[0] : b.op("Concat", parts, { axis: int(0) });
      b.named("Expand", [slice, shape], name);
    } else return undefined;
  }
  b.graph.nodes.push(...graph.nodes);
  const open = (info: Graph["inputs"][number]) => ({ ...info, dims: ["batch", ...info.dims.slice(1)] });
  return { ...b.graph, inputs: graph.inputs.map(open), outputs: graph.outputs.map(open) };
}

/** A shape whose only entry that grows with the batch is left to Reshape to find out. */
function openShape(values: Float64Array, slopes: Float64Array, batch: number): Float64Array | undefined {
  const growing = [...slopes.keys()].filter((i) => slopes[i] !== 0);
  const [at, ...more] = growing;
  if (at === undefined || more.length > 0 || values.includes(-1)) return undefined;
  return values[at] === slopes[at] * batch ? values.with(at, -1) : undefined;
}

function int64s(values: ArrayLike<number>, dims: readonly number[]): Constant {
  const bytes = new Uint8Array(new BigInt64Array(Array.from(values, int64Of)).buffer);
  return { dtype: "int64", dims, bytes };
}

function sameNodes(a: readonly Node[], b: readonly Node[]): boolean {
  return (
    a.length === b.length && a.every((node, i) => JSON.stringify(plain(node)) === JSON.stringify(plain(b[i])))
  );
}

/** A node without names that nothing reads by. Bytes of tensor attributes become lists of numbers. */
const plain = ({ op, domain, inputs, outputs, attributes }: Node) => [
  op,
  domain,
  inputs,
  outputs,
  attributes,
];

function isSame(a: Constant, b: Constant): boolean {
  if (a.dtype !== b.dtype || String(a.dims) !== String(b.dims)) return false;
  return a.bytes === b.bytes || equalBytes(a.bytes, b.bytes);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The axis along which two tensors of different sizes repeat the same slice. */
function repeatedAxis(a: Constant, b: Constant): number | undefined {
  if (a.dtype !== b.dtype || a.dims.length !== b.dims.length) return undefined;
  const [axis, ...more] = a.dims.flatMap((d, i) => (d === b.dims[i] ? [] : [i]));
  if (axis === undefined || more.length > 0) return undefined;
  const slice = sliceOf(a, axis).bytes;
  const repeats = (constant: Constant) =>
    Array.from({ length: constant.dims[axis] }, (_, k) => sliceOf(constant, axis, k).bytes).every((bytes) =>
      equalBytes(bytes, slice),
    );
  return repeats(a) && repeats(b) ? axis : undefined;
}

/** One slice of a tensor along an axis, which stays, with size 1. */
function sliceOf({ dtype, dims, bytes }: Constant, axis: number, at = 0): Constant {
  const before = dims.slice(0, axis).reduce((p, d) => p * d, 1);
  const block = bytes.length / (before * dims[axis]);
  const out = new Uint8Array(before * block);
  for (let k = 0; k < before; k++) {
    const start = (k * dims[axis] + at) * block;
    out.set(bytes.subarray(start, start + block), k * block);
  }
  return { dtype, dims: dims.with(axis, 1), bytes: out };
}
