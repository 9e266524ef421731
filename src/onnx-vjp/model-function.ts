import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { ModelError, UsageError } from "./errors.ts";
import type { Graph, ValueInfo } from "./graph/ir.ts";
import { capturedNames, withoutDeadNodes } from "./graph/live.ts";
import { readModelFile } from "./graph/model-file.ts";
import { readOnnx } from "./graph/read-onnx.ts";
import { isFloat } from "./tensors.ts";

/** Which function of a model is differentiated. */
export interface FunctionOptions {
  /** Names of the inputs to differentiate with respect to (default: every input of floating-point numbers). */
  readonly inputs?: string | readonly string[] | undefined;
  /**
   * Names of the values to compute: outputs of the model, or any other tensor in it (default: every output of
   * floating-point numbers).
   */
  readonly output?: string | readonly string[] | undefined;
}

/** A function of a model: the part of its graph that leads to the outputs asked for. */
export interface ModelFunction {
  /** How errors call the model. */
  readonly name: string;
  readonly graph: Graph;
  readonly wrt: readonly string[];
  readonly of: readonly string[];
}

/**
 * Reads an ONNX model, from its bytes or from its file with the external data beside it, and cuts the function out.
 * @throws ModelError when it cannot be read, or has nothing to differentiate
 * @throws UsageError for names that it does not have
 */
export async function readFunction(
  model: string | URL | Uint8Array,
  options: FunctionOptions = {},
): Promise<ModelFunction> {
  const { name, graph } = await readModel(model);
  const values = new Set([
    ...graph.outputs.map((output) => output.name),
    ...graph.nodes.flatMap((node) => node.outputs),
  ]);
  const of = listOf(options.output) ?? namesOf(graph.outputs.filter(hasFloats));
  requireNames(name, "output", of, values, namesOf(graph.outputs));
  const cut = upTo(graph, of);
  const wrt = listOf(options.inputs) ?? namesOf(cut.inputs.filter(hasFloats));
  const differentiable = namesOf(cut.inputs.filter(hasFloats));
  requireNames(name, "input", wrt, new Set(differentiable), differentiable);
  return { name, graph: cut, wrt, of };
}

async function readModel(model: string | URL | Uint8Array): Promise<{ name: string; graph: Graph }> {
  if (model instanceof Uint8Array) return { name: "The model", graph: await readOnnx(model, "The model") };
  const path = model instanceof URL ? fileURLToPath(model) : model;
  return { name: basename(path), graph: (await readModelFile(path)).graph };
}

const listOf = (names: string | readonly string[] | undefined): readonly string[] | undefined =>
  typeof names === "string" ? [names] : names;

const namesOf = (infos: readonly ValueInfo[]): string[] => infos.map((info) => info.name);

/** Half precision becomes float32 when a model is prepared. */
const hasFloats = ({ dtype }: ValueInfo): boolean =>
  isFloat(dtype) || dtype === "float16" || dtype === "bfloat16";

/** The graph without what does not lead to `outputs`, inputs included. */
function upTo(graph: Graph, outputs: readonly string[]): Graph {
  const declared = new Map(graph.outputs.map((output) => [output.name, output]));
  const cut = withoutDeadNodes({
    ...graph,
    outputs: outputs.map((name) => ({
      name,
      dtype: declared.get(name)?.dtype ?? ("float32" as const),
      // Left to ONNX Runtime: the declared ones may name dimensions that are numbers here.
      dims: [],
    })),
  });
  const read = new Set([
    ...outputs,
    ...cut.nodes.flatMap((node) => [...node.inputs, ...capturedNames(node.attributes)]),
  ]);
  return { ...cut, inputs: cut.inputs.filter((input) => read.has(input.name)) };
}

function requireNames(
  model: string,
  kind: "input" | "output",
  names: readonly string[],
  known: ReadonlySet<string>,
  shown: readonly string[],
): void {
  const candidates = shown.length === 0 ? "none" : shown.map((name) => `"${name}"`).join(", ");
  if (names.length === 0) {
    throw new ModelError(
      `${model} has no ${kind} of floating-point numbers${kind === "input" ? " on which the outputs depend" : ""}.`,
    );
  }
  const unknown = names.find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new UsageError(
    kind === "input"
      ? `${model} has no input "${unknown}" of floating-point numbers on which the outputs depend. It has ${candidates}.`
      : `${model} has no output or other tensor "${unknown}". Its outputs are ${candidates}.`,
  );
}
