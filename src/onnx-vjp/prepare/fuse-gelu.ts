import { numbersOf } from "../graph/constant.ts";
import { float, type Node, sizeOf, type TracedGraph } from "../graph/ir.ts";
import { type Links, linksOf } from "../graph/links.ts";
import { withoutDeadNodes } from "../graph/live.ts";

/**
 * Puts ONNX Runtime's fused Gelu, FastGelu (the tanh form) or QuickGelu (x·σ(αx), α ≠ 1) in place of the
 * chains of elementwise nodes that exporters write for them: one pass over memory instead of four to eight,
 * and only the input to keep for the pullback.
 *
 * Chains are recognized by what they compute, not by how they are written: a cone of elementwise nodes with scalar
 * constants and one input is a function of one number, and is evaluated at a few.
 */
export function fuseGelu(graph: TracedGraph): TracedGraph {
  const links = linksOf(graph);
  const fused = new Map<Node, Node>();
  for (const core of graph.nodes) {
    if (core.domain !== "" || !cores.has(core.op)) continue;
    // The fused operators take no doubles.
    if (graph.types.get(core.inputs[0])?.dtype !== "float32") continue;
    const found = matchFrom(graph, links, core);
    if (found === undefined) continue;
    const { last, x, op, alpha } = found;
    fused.set(last, {
      op,
      domain: "com.microsoft",
      name: last.name,
      inputs: [x],
      outputs: [last.outputs[0]],
      attributes: alpha === undefined ? {} : { alpha: float(alpha) },
    });
  }
  if (fused.size === 0) return graph;
  return withoutDeadNodes({ ...graph, nodes: graph.nodes.map((node) => fused.get(node) ?? node) });
}

/** The one transcendental function of each chain. */
const cores = new Set(["Erf", "Tanh", "Sigmoid"]);

type Scalar = (...x: number[]) => number;

/** Elementwise operators a chain may consist of. */
const scalars: Readonly<Record<string, Scalar>> = {
  Add: (x, y) => x! + y!,
  Sub: (x, y) => x! - y!,
  Mul: (x, y) => x! * y!,
  Div: (x, y) => x! / y!,
  Pow: (x, y) => x! ** y!,
  Neg: (x) => -x!,
  Identity: (x) => x!,
  Sqrt: (x) => Math.sqrt(x!),
  Tanh: (x) => Math.tanh(x!),
  Sigmoid: (x) => sigmoid(x!),
  Erf: (x) => erf(x!),
};

const points = [-3.7, -2.1, -1.3, -0.6, -0.2, 0.1, 0.5, 1, 1.7, 2.9];

interface Match {
  readonly last: Node;
  readonly x: string;
  readonly op: string;
  readonly alpha?: number;
}

/** The longest walk down from `core` at whose end one of the known functions has been computed. */
function matchFrom(graph: TracedGraph, links: Links, core: Node): Match | undefined {
  let last: Node | undefined = core;
  for (let step = 0; step < 5; step++) {
    last = links.onlyReader(last.outputs[0]);
    if (last === undefined || last.domain !== "" || scalars[last.op] === undefined) return undefined;
    for (const x of sourcesOf(graph, links, core)) {
      if (!sameDims(graph, x, last.outputs[0])) continue;
      const f = coneOf(graph, links, last.outputs[0], x);
      const known = f && recognize(f);
      if (known) return { last, x, ...known };
    }
  }
  return undefined;
}

/** Whether two values have the same shape: a constant of many dimensions of 1 may have added some. */
function sameDims(graph: TracedGraph, a: string, b: string): boolean {
  return String(graph.types.get(a)?.dims) === String(graph.types.get(b)?.dims);
}

/** Values above `core` that could be the chain's input, nearest first. */
function sourcesOf(graph: TracedGraph, links: Links, core: Node): string[] {
  const sources: string[] = [];
  const queue = [...core.inputs];
  for (let i = 0; i < queue.length && i < 16; i++) {
    const value = queue[i];
    if (graph.constants.has(value) || sources.includes(value)) continue;
    sources.push(value);
    const producer = links.producer(value);
    if (producer && producer.domain === "" && scalars[producer.op]) queue.push(...producer.inputs);
  }
  return sources;
}

/** `value` as a function of the elements of `x`, or undefined where it depends on anything else. */
function coneOf(graph: TracedGraph, links: Links, value: string, x: string, depth = 0): Scalar | undefined {
  if (value === x) return (at) => at!;
  const constant = graph.constants.get(value);
  if (constant !== undefined) {
    if (sizeOf(constant.dims) !== 1) return undefined;
    const number = numbersOf(constant)[0];
    return () => number;
  }
  const node = links.producer(value);
  const f = node && node.domain === "" ? scalars[node.op] : undefined;
  if (node === undefined || f === undefined || depth > 12) return undefined;
  const inputs: Scalar[] = [];
  for (const input of node.inputs) {
    const cone = coneOf(graph, links, input, x, depth + 1);
    if (cone === undefined) return undefined;
    inputs.push(cone);
  }
  return (at) => f(...inputs.map((input) => input(at!)));
}

/** Which fused operator computes `f`. */
function recognize(f: Scalar): Pick<Match, "op" | "alpha"> | undefined {
  const is = (g: (x: number) => number): boolean =>
    points.every((x) => Math.abs(f(x) - g(x)) < 1e-6 * Math.max(1, Math.abs(x)));
  if (is((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)))) return { op: "Gelu" };
  const c = Math.sqrt(2 / Math.PI);
  if (is((x) => 0.5 * x * (1 + Math.tanh(c * (x + 0.044715 * x ** 3))))) return { op: "FastGelu" };
  const half = f(1);
  if (half <= 0.5 || half >= 1) return undefined;
  // f(1) = σ(α). Constants come as float32: so does α.
  const alpha = Math.fround(Math.log(half / (1 - half)));
  return Math.abs(alpha - 1) > 1e-4 && is((x) => x * sigmoid(alpha * x))
    ? { op: "QuickGelu", alpha }
    : undefined;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The error function within 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - poly * Math.exp(-x * x));
}
