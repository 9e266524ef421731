import type { Graph, TracedGraph } from "../graph/ir.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import { derive } from "../vjp/derive.ts";
import { exposeStatistics } from "./expose-statistics.ts";
import { hoist } from "./hoist.ts";
import { bytesOfValues, partition } from "./partition.ts";

/** What the derived function of a graph will need, known before any session is made. */
export interface DerivedPlan {
  /** The graph as it was given: what the forward runs when nothing is kept. */
  readonly plain: TracedGraph;
  /** The graph with all that the forward may hand to the pullback. */
  readonly traced: TracedGraph;
  readonly wrt: readonly string[];
  readonly of: readonly string[];
  /** Forward and pullback in one graph. */
  readonly joint: Graph;
  /** Names of the inputs that take the cotangents of `of`, and of the values that are the gradients of `wrt`. */
  readonly cotangents: readonly string[];
  readonly gradients: readonly string[];
  /** Forward values to hand to the pullback in `save` mode, and the joint graph's nodes cut for it. */
  readonly saved: readonly string[];
  readonly pullbackNodes: Graph["nodes"];
  /** Bytes of one call's saved values. */
  readonly savedBytes: number;
}

/** Derives the pullback of one or more outputs with respect to the inputs `wrt` and decides what the forward keeps for it. */
export function planDerivative(
  graph: TracedGraph,
  wrt: readonly string[],
  outputs: string | readonly string[],
): DerivedPlan {
  const of = typeof outputs === "string" ? [outputs] : outputs;
  const traced = exposeStatistics(graph);
  const derived = derive(traced, wrt, of);
  const ends = [...of, ...derived.gradients].map((name) => ({ name, dtype: "float32" as const, dims: [] }));
  const joint = withoutDeadNodes({ ...derived.graph, outputs: ends });
  const forwardNodes = new Set(derived.graph.nodes.slice(0, derived.forwardNodes));
  const { forward, pullback, types } = hoist(
    joint.nodes.filter((node) => forwardNodes.has(node)),
    joint.nodes.filter((node) => !forwardNodes.has(node)),
    new Map([...joint.constants, ...traced.types]),
  );
  const made = new Set(forward.flatMap((node) => node.outputs));
  const needed = new Set(pullback.flatMap((node) => node.inputs.filter((input) => made.has(input))));
  const free = new Set([...joint.constants.keys(), ...traced.inputs.map((input) => input.name)]);
  const { saved, repeated } = partition(forward, needed, free, types, new Set(of));
  return {
    plain: graph,
    traced: { ...traced, nodes: forward, constants: joint.constants, types },
    wrt,
    of,
    joint,
    cotangents: derived.cotangents,
    gradients: derived.gradients,
    saved,
    pullbackNodes: [...repeated, ...pullback],
    savedBytes: bytesOfValues(saved, types),
  };
}
