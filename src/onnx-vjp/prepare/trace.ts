import type { Tensor } from "onnxruntime-common";
import { ModelError, ShapeError } from "../errors.ts";
import { constantOf } from "../graph/constant.ts";
import {
  type Constant,
  type DataType,
  type Graph,
  intAttribute,
  type Node,
  sizeOf,
  type TensorType,
  type TracedGraph,
} from "../graph/ir.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import type { Runtime } from "../graph/runtime.ts";
import { inferredTypes, measure, type StaticInput } from "./measure.ts";
import { requireMemory } from "./memory-need.ts";
import { readsOf } from "./reads-of.ts";

/**
 * Fixes the shapes of a graph: gives every input its static dims, finds the type of every value, and folds what
 * does not depend on the inputs' values (the Shape/Gather/Concat chains of exporters) into constants.
 *
 * @param inputs static dims by input name; the first dimension is the batch
 * @throws ModelError for an input without dims, dims that do not fit, and a graph that cannot run on them
 */
export async function trace(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): Promise<TracedGraph> {
  return traceBatches(runtime, graph, inputs)();
}

/** `trace` for several batches of one graph (default: the batch of `inputs`), which is measured once. */
export function traceBatches(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): (batch?: number) => Promise<TracedGraph> {
  const typesAt = measure(runtime, graph, declaredInputs(graph, inputs));
  return async (batch) => {
    const declared = declaredInputs(graph, inputs, batch);
    return fold(runtime, { ...graph, inputs: declared, types: await typesAt(batch) });
  };
}

/** The graph's inputs with static dims, at another batch where one is given. */
function declaredInputs(
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
  batch?: number,
): StaticInput[] {
  return graph.inputs.map((info) => {
    const given = inputs[info.name];
    if (given === undefined) {
      throw new ModelError(
        `The model has an input "${info.name}" (${info.dtype} [${info.dims.join(", ")}]), for which no shape was given.`,
      );
    }
    const dims = batch === undefined ? given : [batch, ...given.slice(1)];
    const fits =
      info.ranked === false ||
      (dims.length === info.dims.length && info.dims.every((d, i) => typeof d !== "number" || d === dims[i]));
    if (!fits) {
      throw new ShapeError(
        `The model's input "${info.name}" has shape [${info.dims.join(", ")}] and cannot take [${dims.join(", ")}].`,
      );
    }
    return { name: info.name, dtype: info.dtype, dims };
  });
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
    const inferred = await inferredTypes(runtime, live, missing);
    for (const name of missing) {
      const type = inferred.get(name);
      // No dimensions: a scalar, or nothing known.
      const known =
        type !== undefined && type.dims.length > 0 && type.dims.every((d) => typeof d === "number" && d >= 0);
      if (known) types.set(name, type as TensorType);
    }
    const unknown = missing.filter((name) => !types.has(name));
    if (unknown.length > 0) {
      const found = await measure(runtime, live, live.inputs as StaticInput[], unknown)();
      for (const name of unknown) if (found.has(name)) types.set(name, found.get(name)!);
    }
  }
  return fold(runtime, { ...live, types });
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
  const isOfTensors = (node: Node) =>
    node.outputs.every((output) => output === "" || graph.types.has(output));
  for (const node of graph.nodes) {
    if (node.domain === "" && (node.op === "Shape" || node.op === "Size")) {
      constants.set(node.outputs[0], shapeConstant(node, graph.types.get(node.inputs[0])!.dims));
    } else if (readsOf(node).every(isConstant) && !random.has(node.op) && isOfTensors(node)) {
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
    requireMemory(
      { nodes: part.nodes, inputs: [], kept: new Set(wanted), types: graph.types },
      runtime.memoryBytes,
    );
    const session = await runtime.session(part, { optimize: "off" });
    const results = await session.run({});
    for (const name of wanted) constants.set(name, constantFromTensor(results[name]));
    await session.release();
  }
  const folded = withoutDeadNodes({ ...graph, nodes: rest, constants });
  const types = new Map(graph.types);
  for (const [name, { dtype, dims }] of folded.constants) types.set(name, { dtype, dims });
  return { ...folded, types };
}

function shapeConstant(node: Node, dims: readonly number[]): Constant {
  if (node.op === "Size") return constantOf("int64", [], [sizeOf(dims)]);
  const sliced = dims.slice(intAttribute(node, "start", 0), intAttribute(node, "end", dims.length));
  return constantOf("int64", [sliced.length], sliced);
}

/** A constant over a tensor's own memory. */
function constantFromTensor(tensor: Tensor): Constant {
  const data = tensor.data as unknown as ArrayBufferView;
  return {
    dtype: tensor.type as DataType,
    dims: tensor.dims,
    bytes: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  };
}
