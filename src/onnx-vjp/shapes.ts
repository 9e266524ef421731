import { type DerivedPlan, planDerivative } from "./compile/plan.ts";
import { ShapeError, UnreachedInputError, UsageError } from "./errors.ts";
import { type Constant, type Graph, identity, type Node, type TracedGraph } from "./graph/ir.ts";
import type { Runtime } from "./graph/runtime.ts";
import type { ModelFunction } from "./model-function.ts";
import { inferredTypes } from "./prepare/measure.ts";
import { prepareGraph } from "./prepare/prepare.ts";

/** Static shapes by input name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/**
 * The shapes that a function runs at where its model alone is known: those declared, with `given` in place of some. An
 * open first dimension is 1.
 * @throws UsageError naming an input whose shape the model leaves open, and inputs that it does not have
 * @throws ShapeError for a shape that the model does not take
 */
export function staticShapes({ name, graph }: ModelFunction, given: Shapes = {}): Shapes {
  const unknown = Object.keys(given).find((key) => !graph.inputs.some((input) => input.name === key));
  if (unknown !== undefined) {
    throw new UsageError(
      `${name} has no input "${unknown}". It has ${graph.inputs.map((input) => `"${input.name}"`).join(", ")}.`,
    );
  }
  const shapes = graph.inputs.map((input): [string, readonly number[]] => {
    const shape = given[input.name] ?? input.dims.map((d, i) => (typeof d !== "number" && i === 0 ? 1 : d));
    if (!shape.every((d) => typeof d === "number")) {
      throw new UsageError(
        `${name} leaves the shape of its input "${input.name}" open: [${shownDims(input.dims)}]. Give one.`,
      );
    }
    return [input.name, shape];
  });
  return requireFit(graph, Object.fromEntries(shapes));
}

/** The shapes themselves. @throws ShapeError for one that the model does not take */
export function requireFit(graph: Graph, shapes: Shapes): Shapes {
  for (const { name, dims } of graph.inputs) {
    const shape = shapes[name];
    const fits =
      shape.length === dims.length && dims.every((d, i) => typeof d !== "number" || d === shape[i]);
    if (fits && shape.every((d) => Number.isInteger(d) && d > 0)) continue;
    throw new ShapeError(
      `The input "${name}" was given the shape [${shape.join(", ")}]. Expected [${shownDims(dims)}].`,
    );
  }
  return shapes;
}

const shownDims = (dims: readonly (number | string)[]) => dims.map((d) => d || "?").join(", ");

/** A function's graph at static shapes, in the forms that the pullback rules know. */
export async function prepareFunction(
  runtime: Runtime,
  { graph, of }: ModelFunction,
  shapes: Shapes,
): Promise<TracedGraph> {
  const inputs = graph.inputs.map((input) => ({ ...input, dims: shapes[input.name] }));
  // Of a tensor inside the model the file does not say the element type.
  const inferred = await inferredTypes(runtime, { ...graph, outputs: [] }, of);
  const outputs = graph.outputs.map((output) => ({
    ...output,
    dtype: inferred.get(output.name)?.dtype ?? output.dtype,
  }));
  return withMadeOutputs(await prepareGraph(runtime, { ...graph, inputs, outputs }, shapes));
}

/** The graph with a node for each output that was folded into a constant. */
function withMadeOutputs(graph: TracedGraph): TracedGraph {
  const constants = new Map<string, Constant>(graph.constants);
  const types = new Map(graph.types);
  const nodes: Node[] = [...graph.nodes];
  for (const { name } of graph.outputs) {
    const constant = constants.get(name);
    if (constant === undefined) continue;
    const source = `${name}/constant`;
    constants.delete(name);
    constants.set(source, constant);
    types.set(source, constant);
    nodes.unshift(identity(source, name));
  }
  return { ...graph, nodes, constants, types };
}

/**
 * The plan of a function's derivative with respect to those of its inputs that the outputs depend on.
 * @throws UnreachedInputError where they depend on none
 */
export function planReached(graph: TracedGraph, { wrt, of }: ModelFunction): DerivedPlan {
  try {
    return planDerivative(graph, wrt, of);
  } catch (error) {
    if (!(error instanceof UnreachedInputError) || error.inputs.length === wrt.length) throw error;
    const unreached = new Set(error.inputs);
    return planDerivative(
      graph,
      wrt.filter((name) => !unreached.has(name)),
      of,
    );
  }
}
