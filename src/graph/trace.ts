import type { Tensor } from "onnxruntime-common";
import { ModelError, messageOf } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { constantOf } from "./constant.ts";
import {
  type Constant,
  type DataType,
  type Graph,
  intAttribute,
  type Node,
  sizeOf,
  type TensorType,
  type TracedGraph,
} from "./ir.ts";
import { capturedNames, withoutDeadNodes } from "./simplify.ts";

/**
 * Fixes the shapes of a graph: gives every input its static dims, finds the type of every value by running
 * the graph in ONNX Runtime on zeros and asking for the shape of every intermediate, and folds what does not depend on the
 * inputs' values (the Shape/Gather/Concat chains of exporters) into constants.
 *
 * The runs use batch 1 and 2 (the first dimension of every input); a value's shape is linear in the batch,
 * so memory does not grow with the batch asked for. A graph declared with a fixed batch runs at that batch.
 *
 * @param inputs static dims by input name; the first dimension is the batch
 */
export async function trace(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): Promise<TracedGraph> {
  const declared = graph.inputs.map((info) => {
    const dims = inputs[info.name];
    if (dims === undefined) {
      throw new ModelError(
        `The model has an input "${info.name}" (${info.dtype} [${info.dims.join(", ")}]) beside the image. ` +
          "Only models from one image tensor to features are differentiated.",
      );
    }
    const fits =
      dims.length === info.dims.length && info.dims.every((d, i) => typeof d !== "number" || d === dims[i]);
    if (!fits) {
      throw new ModelError(
        `The model's input "${info.name}" has shape [${info.dims.join(", ")}] and cannot take [${dims.join(", ")}].`,
      );
    }
    return { ...info, dims };
  });
  const fixed = { ...graph, inputs: declared };
  const types = await typesOf(runtime, graph, declared);
  return fold(runtime, { ...fixed, types });
}

/**
 * The traced form of a graph that was rewritten after tracing: finds the types of the values that `known`
 * lacks, as ONNX Runtime infers them, and folds again. Only what it cannot infer is found by running.
 *
 * @param graph its inputs have static dims, as `trace` gave them
 */
export async function retrace(
  runtime: Runtime,
  graph: Graph,
  known: ReadonlyMap<string, TensorType>,
): Promise<TracedGraph> {
  const live = withoutDeadNodes(graph);
  const made = live.nodes.flatMap((node) => node.outputs.filter((o) => o !== ""));
  const types = new Map<string, TensorType>();
  for (const { name, dtype, dims } of live.inputs)
    types.set(name, { dtype, dims: dims as readonly number[] });
  for (const [name, { dtype, dims }] of live.constants) types.set(name, { dtype, dims });
  for (const name of made) if (known.has(name)) types.set(name, known.get(name)!);
  const missing = made.filter((name) => !types.has(name));
  if (missing.length > 0) {
    const declared = new Set(live.outputs.map((o) => o.name));
    const session = await runtime.session(live, {
      optimize: "off",
      extraOutputs: missing.filter((name) => !declared.has(name)),
    });
    const { outputTypes } = session.graph;
    await session.release();
    for (const name of missing) {
      const type = outputTypes.get(name);
      // No dimensions: a scalar, or nothing known.
      const known = type && type.dims.length > 0 && type.dims.every((d) => typeof d === "number" && d >= 0);
      if (known) types.set(name, type as TensorType);
    }
    const unknown = missing.filter((name) => !types.has(name));
    if (unknown.length > 0) {
      const inputs = live.inputs as readonly StaticInput[];
      const found = await typesOf(runtime, { ...live, inputs: [...inputs] }, inputs, unknown);
      for (const name of unknown) types.set(name, found.get(name)!);
    }
  }
  return fold(runtime, { ...live, types });
}

type StaticInput = TensorType & { readonly name: string };

/** Types of all inputs, constants and `values` (default: whatever a node makes) at the batch that `inputs` ask for. */
async function typesOf(
  runtime: Runtime,
  graph: Graph,
  inputs: readonly StaticInput[],
  values: readonly string[] = graph.nodes.flatMap((node) => node.outputs.filter((o) => o !== "")),
): Promise<Map<string, TensorType>> {
  // Fetching the shapes alone spares copying every intermediate; element types are known without running.
  const shapes = values.map((value) => shapeOf(value));
  const known = new Set(graph.outputs.map((o) => o.name));
  const probed = { ...graph, nodes: [...graph.nodes, ...shapes] };
  const session = await runtime.session(probed, {
    optimize: "off",
    extraOutputs: [...values.filter((v) => !known.has(v)), ...shapes.map((node) => node.name)],
  });
  try {
    const typesAt = async (batch: number | undefined): Promise<Map<string, TensorType>> => {
      const { Tensor } = await import("onnxruntime-common");
      const feeds: Record<string, Tensor> = {};
      const types = new Map<string, TensorType>();
      for (const { name, dtype, dims } of inputs) {
        const at = batch === undefined ? dims : [batch, ...dims.slice(1)];
        feeds[name] = new Tensor(dtype as "float32", zeros(dtype, sizeOf(at)) as Float32Array, at);
        types.set(name, { dtype, dims: at });
      }
      let results: Record<string, Tensor>;
      try {
        results = await session.run(feeds, { only: shapes.map((node) => node.name) });
      } catch (error) {
        const shown = inputs.map((i) => `"${i.name}" [${types.get(i.name)!.dims.join(", ")}]`).join(", ");
        throw new ModelError(`The model cannot run on input ${shown}: ${messageOf(error)}`, { cause: error });
      }
      for (const [i, name] of values.entries()) {
        const dims = Array.from(results[shapes[i]!.name]!.data as BigInt64Array, Number);
        types.set(name, { dtype: session.graph.outputTypes.get(name)!.dtype, dims });
      }
      for (const [name, { dtype, dims }] of graph.constants) types.set(name, { dtype, dims });
      return types;
    };

    const batch = inputs[0]?.dims[0] ?? 1;
    const batchIsFixed = graph.inputs.some((i) => typeof i.dims[0] === "number");
    if (batchIsFixed || batch <= 2) return await typesAt(undefined);
    const one = await typesAt(1);
    const two = await typesAt(2);
    const types = new Map<string, TensorType>();
    for (const [name, a] of one) {
      const b = two.get(name)!;
      if (a.dims.length !== b.dims.length) {
        throw new ModelError(
          `The model's value "${name}" changes its rank with the batch size, which is not supported.`,
        );
      }
      types.set(name, { dtype: a.dtype, dims: a.dims.map((d, i) => d + (b.dims[i]! - d) * (batch - 1)) });
    }
    return types;
  } finally {
    await session.release();
  }
}

/** A node that gives the shape of a value, under a name of its own. */
function shapeOf(value: string): Node {
  const name = `shape of ${value}`;
  return { op: "Shape", domain: "", name, inputs: [value], outputs: [name], attributes: {} };
}

function zeros(dtype: DataType, size: number): ArrayBufferView {
  switch (dtype) {
    case "float32":
      return new Float32Array(size);
    case "float64":
      return new Float64Array(size);
    case "int64":
      return new BigInt64Array(size);
    case "int32":
      return new Int32Array(size);
    case "uint8":
    case "bool":
      return new Uint8Array(size);
    default:
      throw new ModelError(`The model takes ${dtype} input. Expected an image tensor of float32 (or uint8).`);
  }
}

const random = new Set([
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
  "Bernoulli",
  "Multinomial",
]);

/** Replaces every value that depends on constants and shapes alone by a constant. */
async function fold(runtime: Runtime, graph: TracedGraph): Promise<TracedGraph> {
  const constants = new Map(graph.constants);
  const computed = new Set<string>();
  const foldable: Node[] = [];
  const rest: Node[] = [];
  const isConstant = (value: string) => value === "" || constants.has(value) || computed.has(value);
  for (const node of graph.nodes) {
    if (node.domain === "" && (node.op === "Shape" || node.op === "Size")) {
      constants.set(node.outputs[0]!, shapeConstant(node, graph.types.get(node.inputs[0]!)!.dims));
    } else if (readsOf(node).every(isConstant) && !random.has(node.op)) {
      foldable.push(node);
      for (const output of node.outputs) computed.add(output);
    } else {
      rest.push(node);
    }
  }
  const used = new Set([...rest.flatMap(readsOf), ...graph.outputs.map((o) => o.name)]);
  const wanted = [...computed].filter((value) => value !== "" && used.has(value));
  if (wanted.length > 0) {
    const outputs = wanted.map((name) => ({ name, ...graph.types.get(name)! }));
    const part = withoutDeadNodes({ ...graph, inputs: [], outputs, nodes: foldable, constants });
    const session = await runtime.session(part, { optimize: "off" });
    const results = await session.run({});
    for (const name of wanted) constants.set(name, constantFromTensor(results[name]!));
    await session.release();
  }
  const folded = withoutDeadNodes({ ...graph, nodes: rest, constants });
  const types = new Map(graph.types);
  for (const [name, { dtype, dims }] of folded.constants) types.set(name, { dtype, dims });
  return { ...folded, types };
}

/** What a node reads: its inputs and, where it holds bodies, what these take from outside. */
function readsOf(node: Node): string[] {
  return [...node.inputs, ...capturedNames(node.attributes)];
}

function shapeConstant(node: Node, dims: readonly number[]): Constant {
  if (node.op === "Size") return constantOf("int64", [], [sizeOf(dims)]);
  const sliced = dims.slice(intAttribute(node, "start", 0), intAttribute(node, "end", dims.length));
  return constantOf("int64", [sliced.length], sliced);
}

/** A constant over a tensor's own memory. */
export function constantFromTensor(tensor: Tensor): Constant {
  const data = tensor.data as unknown as ArrayBufferView;
  return {
    dtype: tensor.type as DataType,
    dims: tensor.dims,
    bytes: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  };
}
