import { expect } from "vitest";
import type { Graph, TracedGraph } from "../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { type Array64, randomArray, randomNumbers, relativeError } from "./check-rule.ts";
import { tensorOf } from "./pullback.ts";

const runtime = nodeRuntime({ threads: 1 });

/** The numbers that ONNX Runtime computes for each of a graph's outputs. */
export async function resultsOf(
  graph: Graph,
  inputs: Readonly<Record<string, Array64>>,
): Promise<{ dims: readonly number[]; data: number[] }[]> {
  const session = await runtime.session(graph, { optimize: "off" });
  const feeds = graph.inputs.map(({ name, dtype }) => [name, tensorOf(inputs[name], dtype)] as const);
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return graph.outputs.map(({ name }) => ({
    dims: results[name].dims,
    data: Array.from(results[name].data as Float32Array, Number),
  }));
}

/** Asserts that two graphs compute the same from the same inputs. */
export async function expectSameResults(
  before: Graph,
  after: Graph,
  inputs: Readonly<Record<string, Array64>>,
): Promise<void> {
  const [expected, got] = [await resultsOf(before, inputs), await resultsOf(after, inputs)];
  expect(got).toHaveLength(expected.length);
  for (const [i, { dims, data }] of expected.entries()) {
    expect(got[i].dims).toEqual(dims);
    expect(relativeError(got[i].data, data)).toBeLessThan(1e-6);
  }
}

/** Prepares a graph and asserts that it computes what it computed before; returns what it became. */
export async function expectSameAfterPreparing(graph: Graph, seed = 1): Promise<TracedGraph> {
  const random = randomNumbers(seed);
  const inputs = Object.fromEntries(
    graph.inputs.map(({ name, dims }) => [name, randomArray(dims as number[], random)]),
  );
  const dims = Object.fromEntries(graph.inputs.map((i) => [i.name, i.dims as number[]]));
  const prepared = await prepareGraph(runtime, graph, dims);
  expect(prepared.outputs.map((o) => o.name)).toEqual(graph.outputs.map((o) => o.name));
  await expectSameResults(graph, prepared, inputs);
  for (const node of prepared.nodes) {
    for (const output of node.outputs) if (output !== "") expect(prepared.types.has(output)).toBe(true);
  }
  return prepared;
}
