import { constantOf, numbersOf } from "../graph/constant.ts";
import {
  type Constant,
  fromFront,
  type Graph,
  identity,
  intAttribute,
  intsAttribute,
  type Node,
  type TracedGraph,
} from "../graph/ir.ts";
import { producersOf } from "../graph/links.ts";
import { capturedNames } from "../graph/live.ts";
import type { Runtime } from "../graph/runtime.ts";
import { FormWriter } from "./forms.ts";
import { inlineBody } from "./inline-body.ts";

/** Nodes that unrolling one loop may make. */
const mostNodes = 20_000;

/**
 * Writes out every Loop whose count of iterations is known and every Scan, iteration after iteration. Returns the
 * graph itself where there is none; loops that the image decides on stay.
 */
export async function unrollLoops(runtime: Runtime, graph: TracedGraph): Promise<Graph> {
  const nodes: Node[] = [];
  const constants = new Map(graph.constants);
  // What sequences that are handed out are called: before operator set 14 no Identity passes them on.
  const sequences = new Map<string, string>();
  let changed = false;
  for (const original of graph.nodes) {
    const node = { ...original, inputs: original.inputs.map((input) => sequences.get(input) ?? input) };
    const body = node.domain === "" ? node.attributes.body : undefined;
    let written: FormWriter | undefined;
    if (body?.kind === "graph" && node.op === "Loop") {
      const count = await countOf(runtime, graph, node, body.value);
      if (fits(count, body.value)) written = unrollLoop(graph, node, body.value, count);
    } else if (body?.kind === "graph" && node.op === "Scan") {
      written = unrollScan(graph, node, body.value);
    }
    if (written === undefined) {
      nodes.push(node);
      continue;
    }
    changed = true;
    for (const made of written.nodes) {
      const [output = ""] = made.outputs;
      if (node.outputs.includes(output) && !graph.types.has(output)) sequences.set(output, made.inputs[0]);
      else nodes.push(made);
    }
    for (const [name, constant] of written.constants) constants.set(name, constant);
  }
  return changed ? { ...graph, nodes, constants } : graph;
}

const fits = (count: number | undefined, body: Graph): count is number =>
  count !== undefined && count * body.nodes.length <= mostNodes;

/** The first output of a node that is read, which identifies it. */
const nameOf = (node: Node): string => node.outputs.find((output) => output !== "")!;

function unrollLoop(graph: TracedGraph, node: Node, body: Graph, count: number): FormWriter | undefined {
  const carried = node.inputs.length - 2;
  const collected = node.outputs.slice(carried);
  // What no iteration collects has no parts to be put together.
  if (count === 0 && collected.some((output) => output !== "")) return undefined;
  const w = new FormWriter(graph.opset, nameOf(node));
  const yes = w.constant(constantOf("bool", [], [1]));
  let states = node.inputs.slice(2);
  const rows: string[][] = collected.map(() => []);
  for (let k = 0; k < count; k++) {
    const iteration = w.constant(constantOf("int64", [], [k]));
    const outputs = writeBody(w, body, `${nameOf(node)}/${k}`, [iteration, yes, ...states]);
    states = outputs.slice(1, 1 + carried);
    for (const [i, row] of rows.entries()) row.push(outputs[1 + carried + i]);
  }
  for (const [i, state] of states.entries()) handOut(w, node.outputs[i], state);
  for (const [i, row] of rows.entries()) {
    if (collected[i] !== "") handOut(w, collected[i], w.join(row, 0, true));
  }
  return w;
}

function unrollScan(graph: TracedGraph, node: Node, body: Graph): FormWriter | undefined {
  // Before operator set 9 a Scan had its own batch axis, and lengths as its first input.
  if (graph.opset < 9) return undefined;
  const scanned = intAttribute(node, "num_scan_inputs", 0);
  const carried = node.inputs.length - scanned;
  const collected = node.outputs.slice(carried);
  const perInput = (key: string) => intsAttribute(node, key) ?? [];
  const ranks = node.inputs.slice(carried).map((input) => graph.types.get(input)?.dims);
  if (ranks.some((dims) => dims === undefined)) return undefined;
  const axes = ranks.map((dims, i) => fromFront(perInput("scan_input_axes")[i] ?? 0, dims!.length));
  const count = ranks[0]?.[axes[0]];
  if (!fits(count, body) || count === 0) return undefined;
  const w = new FormWriter(graph.opset, nameOf(node));
  const parts = node.inputs.slice(carried).map((input, i) => {
    const rows = w.split(input, axes[i], new Array<number>(count).fill(1));
    const taken = rows.map((row) => w.withAxes("Squeeze", row, [axes[i]]));
    return perInput("scan_input_directions")[i] === 1 ? taken.reverse() : taken;
  });
  let states = node.inputs.slice(0, carried);
  const rows: string[][] = collected.map(() => []);
  for (let k = 0; k < count; k++) {
    const outputs = writeBody(w, body, `${nameOf(node)}/${k}`, [
      ...states,
      ...parts.map((taken) => taken[k]),
    ]);
    states = outputs.slice(0, carried);
    for (const [i, row] of rows.entries()) row.push(outputs[carried + i]);
  }
  for (const [i, state] of states.entries()) handOut(w, node.outputs[i], state);
  for (const [i, row] of rows.entries()) {
    const output = collected[i];
    if (output === "") continue;
    if (perInput("scan_output_directions")[i] === 1) row.reverse();
    const rank = graph.types.get(output)!.dims.length;
    handOut(w, output, w.join(row, fromFront(perInput("scan_output_axes")[i] ?? 0, rank), true));
  }
  return w;
}

/** One iteration; returns what the body's outputs are called. */
function writeBody(w: FormWriter, body: Graph, prefix: string, inputs: readonly string[]): readonly string[] {
  const inlined = inlineBody(body, prefix, inputs);
  w.nodes.push(...inlined.nodes);
  for (const [name, constant] of inlined.constants) w.constants.set(name, constant);
  return inlined.outputs;
}

function handOut(w: FormWriter, output: string | undefined, value: string): void {
  if (output !== undefined && output !== "") w.nodes.push(identity(value, output));
}

/** How often a Loop runs, where that is known without the image. */
async function countOf(
  runtime: Runtime,
  graph: TracedGraph,
  node: Node,
  body: Graph,
): Promise<number | undefined> {
  const [limit = "", condition = ""] = node.inputs;
  const known = (value: string): Constant | undefined => graph.constants.get(value);
  if ((limit !== "" && known(limit) === undefined) || (condition !== "" && known(condition) === undefined))
    return undefined;
  if (condition !== "" && numbersOf(known(condition)!)[0] === 0) return 0;
  if (limit !== "" && goesOnAlways(body)) return Math.max(0, numbersOf(known(limit)!)[0]);
  const deciding = decidingPart(graph, node, body);
  if (deciding === undefined) return undefined;
  const session = await runtime.session(deciding.graph, { optimize: "off" });
  const results = await session.run({});
  await session.release();
  return results[deciding.iterations].dims[0];
}

/** Whether a Loop's condition stays what it was. */
export function goesOnAlways(body: Graph): boolean {
  const producers = producersOf(body.nodes);
  let value = body.outputs[0].name;
  for (let node = producers.get(value); node?.op === "Identity"; node = producers.get(value)) {
    value = node.inputs[0];
  }
  const constant = body.constants.get(value);
  return value === body.inputs[1].name || (constant !== undefined && numbersOf(constant)[0] === 1);
}

/**
 * The part of a Loop that its condition is computed from, as a graph that gives the numbers of its iterations;
 * undefined where that part reads what the image decides.
 */
function decidingPart(
  graph: TracedGraph,
  node: Node,
  body: Graph,
): { graph: Graph; iterations: string } | undefined {
  const carried = node.inputs.length - 2;
  const needed = new Set([body.outputs[0].name]);
  const nodes = new Set<Node>();
  for (let size = -1; size !== needed.size; ) {
    size = needed.size;
    for (const inner of [...body.nodes].reverse()) {
      if (!inner.outputs.some((output) => needed.has(output))) continue;
      nodes.add(inner);
      for (const input of [...inner.inputs, ...capturedNames(inner.attributes)]) needed.add(input);
    }
    // A state that is read comes from the iteration before.
    for (let i = 0; i < carried; i++) {
      if (needed.has(body.inputs[2 + i].name)) needed.add(body.outputs[1 + i].name);
    }
  }
  const kept = Array.from({ length: carried }, (_, i) => i).filter((i) =>
    needed.has(body.inputs[2 + i].name),
  );
  const own = new Set([
    ...body.inputs.map(({ name }) => name),
    ...body.constants.keys(),
    ...[...nodes].flatMap((inner) => inner.outputs),
  ]);
  const outer = [
    ...[...needed].filter((value) => value !== "" && !own.has(value)),
    ...kept.map((i) => node.inputs[2 + i]),
  ];
  if (outer.some((value) => !graph.constants.has(value))) return undefined;
  const [iteration] = body.inputs as [Graph["inputs"][number]];
  const [numbers, scanned] = ["iterations of a loop", "iteration of a loop"];
  const value: Graph = {
    ...body,
    inputs: [...body.inputs.slice(0, 2), ...kept.map((i) => body.inputs[2 + i])],
    outputs: [
      body.outputs[0],
      ...kept.map((i) => body.outputs[1 + i]),
      { name: scanned, dtype: "int64", dims: [] },
    ],
    nodes: [...body.nodes.filter((inner) => nodes.has(inner)), identity(iteration.name, scanned)],
  };
  const loop: Node = {
    ...node,
    inputs: [...[0, 1].map((i) => node.inputs[i] ?? ""), ...kept.map((i) => node.inputs[2 + i])],
    outputs: [...kept.map((i) => `state ${i} of a loop`), numbers],
    attributes: { ...node.attributes, body: { kind: "graph", value } },
  };
  return {
    iterations: numbers,
    graph: { ...graph, inputs: [], nodes: [loop], outputs: [{ name: numbers, dtype: "int64", dims: [""] }] },
  };
}
