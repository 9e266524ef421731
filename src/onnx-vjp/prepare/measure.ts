import { Tensor } from "onnxruntime-common";
import { ModelError, messageOf, ShapeError } from "../errors.ts";
import { type DataType, type Graph, type Node, sizeOf, standardNode, type TensorType } from "../graph/ir.ts";
import type { OutputType, Runtime } from "../graph/runtime.ts";
import { requireMemory } from "./memory-need.ts";

/** A graph input at a static shape. */
export type StaticInput = TensorType & { readonly name: string };

/**
 * Finds the types of a graph's values by running it in ONNX Runtime on zeros and asking for the shape of each.
 * The runs use batch 1 and 2 (the first dimension of every input), when first needed: a shape is linear in the
 * batch, so that memory does not grow with the batch asked for. A graph declared with a fixed batch runs at that.
 *
 * @param values whose types are wanted beside those of inputs and constants; default: whatever a node makes
 * @returns the types at a batch (default: that of `inputs`); sequences have none
 */
export function measure(
  runtime: Runtime,
  graph: Graph,
  inputs: readonly StaticInput[],
  values: readonly string[] = graph.nodes.flatMap((node) => node.outputs.filter((o) => o !== "")),
): (batch?: number) => Promise<Map<string, TensorType>> {
  const runs = new Map<number, Map<string, TensorType>>();
  const given = inputs[0]?.dims[0] ?? 1;
  let inferred: ReadonlyMap<string, OutputType> | undefined;
  const batchIsFixed = graph.inputs.some((i) => typeof i.dims[0] === "number");

  // Types are inferred at the batch of `inputs`.
  const requireRoom = (inferred: ReadonlyMap<string, OutputType>, batch: number) =>
    requireMemory(
      {
        nodes: graph.nodes,
        inputs: inputs.map(({ name }) => name),
        kept: new Set(),
        types: new Map<string, OutputType>([
          ...inferred,
          ...inputs.map((input) => [input.name, input] as const),
        ]),
      },
      runtime.memoryBytes,
      batch / given,
    );

  const runAt = async (batches: readonly number[]): Promise<void> => {
    const missing = batches.filter((batch) => !runs.has(batch));
    if (missing.length === 0) return;
    // Element types are known without running.
    if (inferred === undefined) {
      // Where the sizes do not fit, running says on which input.
      inferred = await inferredTypes(runtime, { ...graph, inputs: [...inputs] }, values).catch(() =>
        inferredTypes(runtime, graph, values),
      );
    }
    requireRoom(inferred, Math.max(...missing));
    // Sequences have no shape.
    const tensors = values.filter((value) => inferred!.has(value));
    // Shapes alone are outputs: what they are of can go during the run. ONNX Runtime takes leaves from the last to the
    // first, each with all that leads to it: written backwards, a shape is read right after the value is made.
    const shapes = tensors.map(shapeOf);
    const session = await runtime.session(
      {
        ...graph,
        nodes: [...graph.nodes, ...shapes.toReversed()],
        outputs: shapes.map(({ name }) => ({ name, dtype: "int64", dims: [] })),
      },
      { optimize: "off" },
    );
    try {
      for (const batch of missing) {
        const at =
          batch === given
            ? inputs
            : inputs.map((input) => ({ ...input, dims: [batch, ...input.dims.slice(1)] }));
        const dims = await shapesOn(session, at, shapes);
        const types = new Map<string, TensorType>();
        for (const { name, dtype, dims } of at) types.set(name, { dtype, dims });
        for (const [i, name] of tensors.entries()) {
          types.set(name, { dtype: inferred.get(name)!.dtype, dims: dims[i] });
        }
        for (const [name, { dtype, dims }] of graph.constants) types.set(name, { dtype, dims });
        runs.set(batch, types);
      }
    } finally {
      await session.release();
    }
  };

  return async (batch = given) => {
    if (batchIsFixed || batch <= 2) {
      await runAt([batch]);
      return runs.get(batch)!;
    }
    await runAt([1, 2]);
    const two = runs.get(2)!;
    const types = new Map<string, TensorType>();
    for (const [name, { dtype, dims }] of runs.get(1)!) {
      const more = two.get(name)!.dims;
      if (dims.length !== more.length) {
        throw new ModelError(
          `The model's value "${name}" changes its rank with the batch size, which is not supported.`,
        );
      }
      types.set(name, { dtype, dims: dims.map((d, i) => d + (more[i] - d) * (batch - 1)) });
    }
    return types;
  };
}

/** What ONNX Runtime infers of `values` without running the graph. */
export async function inferredTypes(
  runtime: Runtime,
  graph: Graph,
  values: readonly string[],
): Promise<ReadonlyMap<string, OutputType>> {
  const declared = new Set(graph.outputs.map((output) => output.name));
  const session = await runtime.session(graph, {
    optimize: "off",
    extraOutputs: values.filter((value) => !declared.has(value)),
  });
  const { outputTypes } = session.graph;
  await session.release();
  return outputTypes;
}

/** A node that gives the shape of a value, under its own name. */
function shapeOf(value: string): Node {
  const name = `shape of ${value}`;
  return standardNode("Shape", [value], name);
}

/** What the nodes of `shapes` give on zeros. */
async function shapesOn(
  session: Awaited<ReturnType<Runtime["session"]>>,
  inputs: readonly StaticInput[],
  shapes: readonly Node[],
): Promise<number[][]> {
  const feeds = Object.fromEntries(
    inputs.map(({ name, dtype, dims }) => {
      const data = zeros(dtype, sizeOf(dims)) as Float32Array;
      return [name, new Tensor(dtype as "float32", data, dims)] as const;
    }),
  );
  try {
    const results = await session.run(feeds, { only: shapes.map((node) => node.name) });
    return shapes.map((node) => Array.from(results[node.name].data as BigInt64Array, Number));
  } catch (error) {
    const shown = inputs.map((i) => `"${i.name}" [${i.dims.join(", ")}]`).join(", ");
    throw new ShapeError(`The model cannot run on input ${shown}: ${messageOf(error)}.`, { cause: error });
  }
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
      throw new ModelError(
        `The model has an input of ${dtype}. Expected float32, float64, int64, int32, uint8 or bool.`,
      );
  }
}
