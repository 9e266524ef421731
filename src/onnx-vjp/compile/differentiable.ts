import { Tensor } from "onnxruntime-common";
import { NumericalError } from "../errors.ts";
import { blockGraph } from "../fit/blocked/block.ts";
import { withoutFlattening } from "../fit/flat-products.ts";
import { type HalfOptions, toHalfPrecision } from "../fit/half-precision.ts";
import { gradientSize, scaleCotangent, scaleInput } from "../fit/scale-cotangent.ts";
import type { Graph, TensorType, TracedGraph } from "../graph/ir.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import type { Feeds, Fetches, Precision, Runtime, Session, SessionOptions } from "../graph/runtime.ts";
import { inferredTypes } from "../prepare/measure.ts";
import { derive } from "../vjp/derive.ts";
import { exposeStatistics } from "./expose-statistics.ts";
import { hoist } from "./hoist.ts";
import { bytesOfValues, partition } from "./partition.ts";
import { wideOn } from "./wide-operators.ts";

/**
 * How the pullback gets at the forward's intermediates. `save`: the forward hands them over (2 units of work
 * a step, memory for every image between the two calls). `recompute`: the pullback computes them again
 * (3 units, memory for one call).
 */
export type Activations = "save" | "recompute";

/** Intermediates kept by one `forward` call for its `pullback`. */
export type Saved = Readonly<Record<string, Tensor>>;

/** A function of tensors with its vector–Jacobian product, ready to run at static shapes. */
export interface Differentiable {
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly output: TensorType;
  readonly activations: Activations;
  /** Bytes of one `Saved` (0 when recomputing). */
  readonly savedBytes: number;
  /** The function's value. Its data belong to the caller. With `reuse`, a `Saved` to write into. */
  forward(feeds: Feeds, reuse?: Saved): Promise<{ value: Float32Array; saved: Saved }>;
  /**
   * Gradients of ⟨cotangent, value⟩ by input name; `feeds` and `saved` as in the forward. Those in `into` are written
   * there: a fresh array of an image's size takes longer to get than the gradient from a card.
   */
  pullback(
    feeds: Feeds,
    saved: Saved,
    cotangent: Float32Array,
    into?: Readonly<Record<string, Float32Array>>,
  ): Promise<Record<string, Float32Array>>;
  release(): Promise<void>;
}

/** What the derived function of a graph will need, known before any session is made. */
export interface DerivedPlan {
  /** The graph as it was given: what the forward runs when nothing is kept. */
  readonly plain: TracedGraph;
  /** The graph with all that the forward may hand to the pullback. */
  readonly traced: TracedGraph;
  readonly wrt: readonly string[];
  readonly of: string;
  readonly joint: Graph;
  readonly cotangent: string;
  readonly gradients: readonly string[];
  /** Forward values to hand to the pullback in `save` mode, and the joint graph's nodes cut for it. */
  readonly saved: readonly string[];
  readonly pullbackNodes: Graph["nodes"];
  /** Bytes of one call's saved values. */
  readonly savedBytes: number;
}

/** Derives the pullback of `of` with respect to the inputs `wrt` and decides what the forward keeps for it. */
export function planDerivative(graph: TracedGraph, wrt: readonly string[], of: string): DerivedPlan {
  const traced = exposeStatistics(graph);
  const derived = derive(traced, wrt, [of]);
  const outputs = [of, ...derived.gradients].map((name) => ({ name, dtype: "float32" as const, dims: [] }));
  const joint = withoutDeadNodes({ ...derived.graph, outputs });
  const forwardNodes = new Set(derived.graph.nodes.slice(0, derived.forwardNodes));
  const { forward, pullback, types } = hoist(
    joint.nodes.filter((node) => forwardNodes.has(node)),
    joint.nodes.filter((node) => !forwardNodes.has(node)),
    new Map([...joint.constants, ...traced.types]),
  );
  const made = new Set(forward.flatMap((node) => node.outputs));
  const needed = new Set(pullback.flatMap((node) => node.inputs.filter((input) => made.has(input))));
  const free = new Set([...joint.constants.keys(), ...traced.inputs.map((input) => input.name)]);
  const { saved, repeated } = partition(forward, needed, free, types, new Set([of]));
  return {
    plain: graph,
    traced: { ...traced, nodes: forward, constants: joint.constants, types },
    wrt,
    of,
    joint,
    cotangent: derived.cotangents[0]!,
    gradients: derived.gradients,
    saved,
    pullbackNodes: [...repeated, ...pullback],
    savedBytes: bytesOfValues(saved, types),
  };
}

export interface CompileOptions extends SessionOptions {
  /** What products are computed in (default: float32). Features, cotangents and gradients are float32 either way. */
  readonly precision?: Precision;
}

/** Compiles a plan into its sessions. */
export async function compileDerivative(
  runtime: Runtime,
  plan: DerivedPlan,
  activations: Activations,
  { precision = "float32", ...options }: CompileOptions = {},
): Promise<Differentiable> {
  const { forward, pullback, stay, outline } = await derivativeGraphs(runtime, plan, activations, precision);
  return differentiable(
    await runtime.session(forward, { ...options, stay }),
    await runtime.session(pullback, options),
    outline,
  );
}

/** What is known of a function besides its sessions: plain data, no graph, no weights. */
export interface DerivativeOutline {
  readonly wrt: readonly string[];
  readonly of: string;
  readonly cotangent: string;
  readonly gradients: readonly string[];
  readonly activations: Activations;
  readonly savedBytes: number;
  readonly precision: Precision;
  /** Names of the outputs of the forward that are inputs of the pullback. */
  readonly saved: readonly string[];
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly output: TensorType;
}

/** A differentiable function from the sessions of its two graphs. */
export function differentiable(
  forward: Session,
  pullback: Session,
  outline: DerivativeOutline,
): Differentiable {
  const { wrt, of, cotangent, gradients, activations, savedBytes, precision, saved, inputs, output } =
    outline;
  const pick = (feeds: Feeds, session: Session): Feeds =>
    Object.fromEntries(Object.entries(feeds).filter(([name]) => session.graph.inputs.includes(name)));
  return {
    ...{ inputs, output, activations, savedBytes },
    async forward(feeds, reuse) {
      const onDevice = Object.values(reuse ?? {}).some((tensor) => tensor.location !== "cpu");
      if (onDevice) letGo(reuse!);
      const results = await forward.run(pick(feeds, forward), reuse && !onDevice ? { into: reuse } : {});
      const value = results[of]!.data as Float32Array;
      return { value, saved: Object.fromEntries(saved.map((name) => [name, results[name]!])) };
    },
    async pullback(feeds, kept, values, buffers = {}) {
      const cotangents = { [cotangent]: new Tensor("float32", values, output.dims) };
      const given = pick({ ...feeds, ...kept, ...cotangents }, pullback);
      const into = Object.fromEntries(
        gradients.flatMap((name, i) => {
          const buffer = buffers[wrt[i]!];
          return buffer ? [[name, new Tensor("float32", buffer, inputs.get(wrt[i]!)!.dims)] as const] : [];
        }),
      );
      const results =
        precision === "float32"
          ? await pullback.run(given, { into })
          : await scaledRun(pullback, given, values, into);
      return Object.fromEntries(gradients.map((name, i) => [wrt[i]!, results[name]!.data as Float32Array]));
    },
    async release() {
      await forward.release();
      await pullback.release();
    },
  };
}

/** Lets go of values on a device: JavaScript would not know how much memory they hold. */
export function letGo(saved: Saved): void {
  for (const tensor of Object.values(saved)) if (tensor.location !== "cpu") tensor.dispose();
}

/** The largest number of a cotangent on its way through half precision: what a layer makes of it may be 1,000 times larger. */
const scaledPeak = 16;
/** float32's largest power of two. */
const largestExponent = 127;
/** What it is divided by when a number on the way was too large, and how often that is tried. */
const stepDown = 64;
const attempts = 4;

/** Runs a pullback of half precision on a multiple of its cotangent that uses the range of its numbers. */
async function scaledRun(
  pullback: Session,
  inputs: Feeds,
  cotangent: Float32Array,
  into: Fetches,
): ReturnType<Session["run"]> {
  const peak = cotangent.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  // A power of two changes no digit. Of a cotangent that is zero or not finite, none is of use.
  let scale =
    peak > 0 && Number.isFinite(peak)
      ? 2 ** Math.min(largestExponent, Math.floor(Math.log2(scaledPeak / peak)))
      : 1;
  for (let i = 0; i < attempts; i++) {
    const given = { [scaleInput]: new Tensor("float32", Float32Array.of(scale), [1]) };
    const results = await pullback.run({ ...inputs, ...given }, { into });
    if (Number.isFinite((results[gradientSize]!.data as Float32Array)[0]!)) return results;
    scale /= stepDown;
  }
  throw new NumericalError(
    "The encoder's gradient is not finite in half precision, however small the cotangent is made. Run it in float32.",
  );
}

/** The two graphs of a differentiable function, as they are run. */
export interface DerivativeGraphs {
  readonly forward: Graph;
  readonly pullback: Graph;
  /** Outputs of the forward that only the pullback reads. */
  readonly stay: readonly string[];
  readonly outline: DerivativeOutline;
}

/** The graphs of a plan, fitted to a runtime. */
export async function derivativeGraphs(
  runtime: Runtime,
  plan: DerivedPlan,
  activations: Activations,
  precision: Precision = "float32",
): Promise<DerivativeGraphs> {
  const { traced, wrt, of, joint, cotangent, gradients } = plan;
  const typeOf = (name: string) => traced.types.get(name)!;
  const declare = (name: string) => ({ name, ...typeOf(name) });
  const saved = activations === "save" ? plan.saved : [];
  const savedBytes = activations === "save" ? plan.savedBytes : 0;
  const ends = {
    inputs: new Map(traced.inputs.map(({ name }) => [name, typeOf(name)])),
    output: typeOf(of),
  };
  const outline = { wrt, of, cotangent, gradients, activations, savedBytes, precision, saved, ...ends };
  const source = activations === "save" ? traced : plan.plain;
  // An output must be made by a node: the value may be an input or a saved value under the same name.
  const forwardGraph = withoutDeadNodes({
    ...source,
    outputs: [of, ...saved.filter((s) => s !== of)].map(declare),
  });
  const written = withoutDeadNodes({
    ...joint,
    inputs: [...joint.inputs, ...saved.map(declare)],
    nodes: activations === "save" ? plan.pullbackNodes : joint.nodes,
    outputs: gradients.map((name, i) => ({ name, ...typeOf(wrt[i]!) })),
  });
  const pullbackGraph = runtime.prefersFewNodes ? await unflattened(runtime, written) : written;
  const handOver = new Set(saved.filter((name) => name !== of));
  const stay = [...handOver];
  if (precision === "float16") {
    const half: HalfOptions = { wide: wideOn(runtime.device) };
    const { graph: forward, halves } = toHalfPrecision(forwardGraph, { ...half, handOver });
    const scaled = toHalfPrecision(pullbackGraph, { ...half, handed: halves }).graph;
    const pullback = onlyReadInputs(scaleCotangent(scaled, plan.cotangent, gradients));
    return { forward, pullback, stay, outline };
  }
  const block = (await runtime.convolutionBlock?.()) ?? 1;
  const types = new Map([...traced.types, ...pullbackGraph.inputs.map(typed)]);
  const { graph: forward, handed } = blockGraph(forwardGraph, traced.types, block, handOver);
  const { graph: pullback } = blockGraph(pullbackGraph, types, block, new Set(), handed);
  const names = saved.map((name) => handed.get(name)?.name ?? name);
  return { forward, pullback: onlyReadInputs(pullback), stay, outline: { ...outline, saved: names } };
}

/** A pullback whose products of stacks of rows are one operator each. */
async function unflattened(runtime: Runtime, graph: Graph): Promise<Graph> {
  const reshapes = graph.nodes.filter((node) => node.op === "Reshape");
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const values = reshapes.flatMap((node) => [node.inputs[0]!, node.outputs[0]!]).filter((v) => made.has(v));
  const inferred = await inferredTypes(runtime, graph, [...new Set(values)]);
  const given = new Map<string, { readonly dims: readonly (number | string)[] }>([
    ...graph.constants,
    ...graph.inputs.map((input) => [input.name, input] as const),
  ]);
  return withoutFlattening(graph, (value) => {
    const dims = (given.get(value) ?? inferred.get(value))?.dims;
    return dims?.every((dim) => typeof dim === "number") ? (dims as number[]) : undefined;
  });
}

function typed({ name, dtype, dims }: Graph["inputs"][number]): [string, TensorType] {
  return [name, { dtype, dims: dims.map(Number) }];
}

/** The graph without inputs that no node reads (a linear function's pullback reads none of the forward's). */
function onlyReadInputs(graph: Graph): Graph {
  const read = new Set(graph.nodes.flatMap((node) => node.inputs));
  return { ...graph, inputs: graph.inputs.filter((input) => read.has(input.name)) };
}
