import { access, mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { derivativeGraphs } from "./compile/differentiable.ts";
import { planDerivative } from "./compile/plan.ts";
import { UsageError } from "./errors.ts";
import { type DataType, type Graph, identity, type ValueInfo } from "./graph/ir.ts";
import { withoutUnreadInputs } from "./graph/live.ts";
import type { Runtime } from "./graph/runtime.ts";
import { WeightsFile } from "./graph/weights-file.ts";
import { writeOnnx } from "./graph/write-onnx.ts";
import type { ModelFunction } from "./model-function.ts";
import { prepareFunction, type Shapes, staticShapes } from "./shapes.ts";

export interface WriteVjpOptions {
  /** Static shapes by input name, of inputs whose shape the model leaves open (an open first dimension: 1). */
  readonly shapes?: Shapes | undefined;
  /** From this many bytes, weights go into a separate file (default: 1 GiB; an ONNX file ends at 2). */
  readonly externalAbove?: number | undefined;
  /** Replace files that are there. */
  readonly overwrite?: boolean | undefined;
}

/** A tensor that one of the two files takes or gives. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DataType;
  readonly dims: readonly number[];
}

/** What the two files take and give; also written beside them, as vjp.json. */
export interface WrittenVjp {
  readonly forward: {
    readonly file: string;
    readonly inputs: readonly TensorInfo[];
    /** The function's outputs. */
    readonly outputs: readonly TensorInfo[];
    /** Further outputs, which the pullback takes under the same names. */
    readonly saved: readonly TensorInfo[];
  };
  readonly pullback: {
    readonly file: string;
    /** All that it takes: cotangents, saved values, and those inputs and outputs of the forward that it reads. */
    readonly inputs: readonly TensorInfo[];
    /** The input that takes the cotangent of an output: "cotangent/<output>". */
    readonly cotangents: Readonly<Record<string, string>>;
    /** The output that is the gradient with respect to an input: "gradient/<input>". */
    readonly gradients: Readonly<Record<string, string>>;
  };
}

const files = {
  forward: "forward.onnx",
  pullback: "pullback.onnx",
  weights: "weights.bin",
  names: "vjp.json",
};

/** Weights below this stay in the ONNX file even where others do not. */
const externalFrom = 4096;

/**
 * Writes a function and its pullback as two ONNX files of operator set 18 that any runtime runs: `forward.onnx` gives
 * the outputs and the intermediate values that `pullback.onnx` takes beside the cotangents. Where the weights are large,
 * both refer to one file `weights.bin`.
 * @throws NoRuleError, UnreachedInputError when the function has no gradient
 * @throws UsageError where such files are there, or a shape is missing
 */
export async function writeVjp(
  runtime: Runtime,
  f: ModelFunction,
  folder: string,
  options: WriteVjpOptions = {},
): Promise<WrittenVjp> {
  const there = options.overwrite ? [] : await existing(folder);
  if (there.length > 0) {
    throw new UsageError(
      `${folder} has ${there.join(", ")} already. Choose another folder, or replace the files.`,
    );
  }
  const graph = await prepareFunction(runtime, f, staticShapes(f, options.shapes));
  const plan = planDerivative(graph, f.wrt, f.of);
  // As the runtime runs them, the graphs would hold operators of the runtime's own layout.
  const { convolutionBlock: _, ...plain } = runtime;
  const { outline, pullback, ...graphs } = await derivativeGraphs(
    { ...plain, prefersFewNodes: false },
    plan,
    "save",
  );
  const forward = withoutUnreadInputs(graphs.forward);
  const named = withNamedGradients(pullback, plan.gradients, f.wrt);
  await mkdir(folder, { recursive: true });
  await writeGraphs(folder, forward, named, options.externalAbove ?? 2 ** 30);
  const written: WrittenVjp = {
    forward: {
      file: files.forward,
      inputs: forward.inputs.map(infoOf),
      outputs: forward.outputs.filter(({ name }) => f.of.includes(name)).map(infoOf),
      saved: forward.outputs.filter(({ name }) => !f.of.includes(name)).map(infoOf),
    },
    pullback: {
      file: files.pullback,
      inputs: named.inputs.map(infoOf),
      cotangents: Object.fromEntries(f.of.map((name, i) => [name, outline.cotangents[i]])),
      gradients: Object.fromEntries(f.wrt.map((name) => [name, gradientOf(name)])),
    },
  };
  await writeFile(join(folder, files.names), `${JSON.stringify(written, null, 2)}\n`);
  return written;
}

async function existing(folder: string): Promise<string[]> {
  const found = await Promise.all(
    Object.values(files).map((name) =>
      access(join(folder, name)).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return found.flat();
}

const gradientOf = (input: string) => `gradient/${input}`;

const infoOf = ({ name, dtype, dims }: ValueInfo): TensorInfo => ({ name, dtype, dims: dims.map(Number) });

/** The pullback with outputs that are named after the inputs that they belong to. */
function withNamedGradients(graph: Graph, gradients: readonly string[], wrt: readonly string[]): Graph {
  const passed = wrt.map((input, i) => identity(gradients[i], gradientOf(input)));
  const outputs = graph.outputs.map((output, i) => ({ ...output, name: gradientOf(wrt[i]) }));
  return { ...graph, nodes: [...graph.nodes, ...passed], outputs };
}

async function writeGraphs(
  folder: string,
  forward: Graph,
  pullback: Graph,
  externalAbove: number,
): Promise<void> {
  const path = (name: string) => join(folder, name);
  const isLarge = [forward, pullback].some((graph) => bytesOf(graph) > externalAbove);
  if (!isLarge) {
    await rm(path(files.weights), { force: true });
    await writeFile(path(files.forward), writeOnnx(forward).model);
    await writeFile(path(files.pullback), writeOnnx(pullback).model);
    return;
  }
  const file = await open(path(files.weights), "w");
  try {
    const weights = new WeightsFile(file, files.weights);
    const placed = { externalFrom, placeOf: (data: Uint8Array) => weights.placeOf(data) };
    await writeFile(path(files.forward), writeOnnx(forward, placed).model);
    await writeFile(path(files.pullback), writeOnnx(pullback, placed).model);
    await weights.write();
  } finally {
    await file.close();
  }
}

const bytesOf = (graph: Graph): number =>
  [...graph.constants.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
