import { Tensor } from "onnxruntime-common";
import { NumericalError } from "../errors.ts";
import { blockGraph } from "../fit/blocked/block.ts";
import { withoutFlattening } from "../fit/flat-products.ts";
import { type HalfOptions, toHalfPrecision } from "../fit/half-precision.ts";
import { gradientSize, scaleCotangent, scaleInput } from "../fit/scale-cotangent.ts";
import { type Graph, sizeOf, type TensorType } from "../graph/ir.ts";
import { withoutDeadNodes, withoutUnreadInputs } from "../graph/live.ts";
import type { Feeds, Fetches, Precision, Runtime, Session, SessionOptions } from "../graph/runtime.ts";
import { inferredTypes } from "../prepare/measure.ts";
import type { Activations } from "./activations.ts";
import { float32OperatorsOn } from "./float32-operators.ts";
import type { DerivedPlan } from "./plan.ts";

export type { Activations };

/** Intermediates kept by one `forward` call for its `pullback`. */
export type Saved = Readonly<Record<string, Tensor>>;

/** What is differentiated is of one of these. */
export type Numbers = Float32Array | Float64Array;

/** A function of tensors with its vector–Jacobian product, ready to run at static shapes. */
export interface Differentiable {
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly outputs: ReadonlyMap<string, TensorType>;
  readonly activations: Activations;
  /** Bytes of one `Saved` (0 when recomputing). */
  readonly savedBytes: number;
  /**
   * The function's outputs by name, and the numbers of the first of them. Their data belong to the caller. With
   * `reuse`, a `Saved` to write into.
   */
  forward(feeds: Feeds, reuse?: Saved): Promise<{ value: Float32Array; values: Fetches; saved: Saved }>;
  /**
   * Gradients of Σ ⟨cotangent, output⟩ by input name; `feeds` and `saved` as in the forward. Those in `into` are
   * written there: allocating an array of an image's size takes longer than fetching the gradient from a GPU.
   * @param cotangents by output name, or the numbers of the only output's
   */
  pullback(
    feeds: Feeds,
    saved: Saved,
    cotangents: Float32Array | Readonly<Record<string, Numbers>>,
    into?: Readonly<Record<string, Float32Array>>,
  ): Promise<Record<string, Float32Array>>;
  release(): Promise<void>;
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
  readonly of: readonly string[];
  readonly cotangents: readonly string[];
  readonly gradients: readonly string[];
  readonly activations: Activations;
  readonly savedBytes: number;
  readonly precision: Precision;
  /** Names of the outputs of the forward that are inputs of the pullback. */
  readonly saved: readonly string[];
  readonly inputs: ReadonlyMap<string, TensorType>;
  readonly outputs: ReadonlyMap<string, TensorType>;
}

/** A differentiable function from the sessions of its two graphs. */
export function differentiable(
  forward: Session,
  pullback: Session,
  outline: DerivativeOutline,
): Differentiable {
  const { wrt, of, gradients, activations, savedBytes, precision, saved, inputs, outputs } = outline;
  const pick = (feeds: Feeds, session: Session): Feeds =>
    Object.fromEntries(Object.entries(feeds).filter(([name]) => session.graph.inputs.includes(name)));
  return {
    inputs,
    outputs,
    activations,
    savedBytes,
    async forward(feeds, reuse) {
      const onDevice = Object.values(reuse ?? {}).some((tensor) => tensor.location !== "cpu");
      if (onDevice) letGo(reuse!);
      const results = await forward.run(pick(feeds, forward), reuse && !onDevice ? { into: reuse } : {});
      const named = (names: readonly string[]) =>
        Object.fromEntries(names.map((name) => [name, results[name]]));
      const values = named(of);
      return { value: values[of[0]!].data as Float32Array, values, saved: named(saved) };
    },
    async pullback(feeds, kept, cotangent, buffers = {}) {
      const byOutput = cotangent instanceof Float32Array ? { [of[0]]: cotangent } : cotangent;
      const cotangents = Object.fromEntries(
        of.map((name, i) => [outline.cotangents[i], tensorOf(byOutput[name], outputs.get(name)!)]),
      );
      const given = pick({ ...feeds, ...kept, ...cotangents }, pullback);
      const into = Object.fromEntries(
        gradients.flatMap((name, i) => {
          const buffer = buffers[wrt[i]];
          return buffer ? [[name, tensorOf(buffer, inputs.get(wrt[i])!)] as const] : [];
        }),
      );
      const results =
        precision === "float32"
          ? await pullback.run(given, { into })
          : await scaledRun(pullback, given, Object.values(cotangents), into);
      return Object.fromEntries(gradients.map((name, i) => [wrt[i], results[name].data as Float32Array]));
    },
    async release() {
      await forward.release();
      await pullback.release();
    },
  };
}

/** A tensor of a type that can be differentiated; zeros where there are no numbers for it. */
function tensorOf(numbers: Numbers | undefined, { dtype, dims }: TensorType): Tensor {
  return dtype === "float64"
    ? new Tensor("float64", (numbers as Float64Array) ?? new Float64Array(sizeOf(dims)), dims)
    : new Tensor("float32", (numbers as Float32Array) ?? new Float32Array(sizeOf(dims)), dims);
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
  cotangents: readonly Tensor[],
  into: Fetches,
): ReturnType<Session["run"]> {
  const peak = cotangents.reduce(
    (most, { data }) => (data as Float32Array).reduce((more, x) => Math.max(more, Math.abs(x)), most),
    0,
  );
  // Scaling by a power of two is exact. Zero and non-finite cotangents are not scaled.
  let scale =
    peak > 0 && Number.isFinite(peak)
      ? 2 ** Math.min(largestExponent, Math.floor(Math.log2(scaledPeak / peak)))
      : 1;
  for (let i = 0; i < attempts; i++) {
    const given = { [scaleInput]: new Tensor("float32", Float32Array.of(scale), [1]) };
    const results = await pullback.run({ ...inputs, ...given }, { into });
    if (Number.isFinite((results[gradientSize].data as Float32Array)[0])) return results;
    scale /= stepDown;
  }
  throw new NumericalError(
    "The gradient is not finite in half precision, however small the cotangent is made. Run it in float32.",
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
  const { traced, wrt, of, joint, cotangents, gradients } = plan;
  const typeOf = (name: string) => traced.types.get(name)!;
  const declare = (name: string) => ({ name, ...typeOf(name) });
  const saved = activations === "save" ? plan.saved : [];
  const savedBytes = activations === "save" ? plan.savedBytes : 0;
  const ends = {
    inputs: new Map(traced.inputs.map(({ name }) => [name, typeOf(name)])),
    outputs: new Map(of.map((name) => [name, typeOf(name)])),
  };
  const outline = { wrt, of, cotangents, gradients, activations, savedBytes, precision, saved, ...ends };
  const source = activations === "save" ? traced : plan.plain;
  // An output must be made by a node: the value may be an input or a saved value under the same name.
  const forwardGraph = withoutDeadNodes({
    ...source,
    outputs: [...new Set([...of, ...saved])].map(declare),
  });
  const written = withoutDeadNodes({
    ...joint,
    inputs: [...joint.inputs, ...saved.map(declare)],
    nodes: activations === "save" ? plan.pullbackNodes : joint.nodes,
    outputs: gradients.map((name, i) => ({ name, ...typeOf(wrt[i]) })),
  });
  const pullbackGraph = runtime.prefersFewNodes ? await unflattened(runtime, written) : written;
  const handOver = new Set(saved.filter((name) => !of.includes(name)));
  const stay = [...handOver];
  if (precision === "float16") {
    const half: HalfOptions = { wide: float32OperatorsOn(runtime.device) };
    const { graph: forward, halves } = toHalfPrecision(forwardGraph, { ...half, handOver });
    const scaled = toHalfPrecision(pullbackGraph, { ...half, handed: halves }).graph;
    const pullback = withoutUnreadInputs(scaleCotangent(scaled, cotangents, gradients));
    return { forward, pullback, stay, outline };
  }
  const block = (await runtime.convolutionBlock?.()) ?? 1;
  const types = new Map([...traced.types, ...pullbackGraph.inputs.map(typed)]);
  const { graph: forward, handed } = blockGraph(forwardGraph, traced.types, block, handOver);
  const { graph: pullback } = blockGraph(pullbackGraph, types, block, new Set(), handed);
  const names = saved.map((name) => handed.get(name)?.name ?? name);
  return { forward, pullback: withoutUnreadInputs(pullback), stay, outline: { ...outline, saved: names } };
}

/** A pullback whose products of stacks of rows are one operator each. */
async function unflattened(runtime: Runtime, graph: Graph): Promise<Graph> {
  const reshapes = graph.nodes.filter((node) => node.op === "Reshape");
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const values = reshapes.flatMap((node) => [node.inputs[0], node.outputs[0]]).filter((v) => made.has(v));
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
