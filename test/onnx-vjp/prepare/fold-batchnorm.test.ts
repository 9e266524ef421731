import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, float, type Graph, int, type TracedGraph } from "../../../src/onnx-vjp/graph/ir.ts";
import { foldBatchNormalization } from "../../../src/onnx-vjp/prepare/fold-batchnorm.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { type Array64, randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { resultsOf } from "../../support/same-results.ts";

const runtime = nodeRuntime({ threads: 1 });

const openDims = (rank: number) => Array.from({ length: rank }, (_, i) => `d${i}`);

/** Builds a graph with random constants by shape; `positive` ones for variances. */
function graphOf(
  dims: readonly number[],
  seed: number,
  write: (b: GraphBuilder, x: string, constant: (dims: number[], positive?: boolean) => string) => string,
): Graph {
  const random = randomNumbers(seed);
  const b = new GraphBuilder();
  const y = write(b, b.input("x", dims), (shape, positive = false) => {
    const { data } = randomArray(shape, random);
    return b.floats(shape, positive ? data.map((v) => 0.5 + Math.abs(v)) : data);
  });
  b.output(y, { dims: openDims(dims.length) }, "y");
  return b.graph;
}

/** Folds a graph and asserts that it computes what it did; returns what it became. */
async function folded(graph: Graph): Promise<TracedGraph> {
  const { dims } = graph.inputs[0];
  const traced = await trace(runtime, graph, { x: dims as number[] });
  const after = foldBatchNormalization(traced);
  const x: Array64 = randomArray(dims as number[], randomNumbers(99));
  const [before, now] = [await resultsOf(traced, { x }), await resultsOf(after, { x })];
  expect(now[0].dims).toEqual(before[0].dims);
  expect(relativeError(now[0].data, before[0].data)).toBeLessThan(2e-6);
  const made = after.nodes.map((node) => node.outputs[0]);
  const outputs = made.map((name) => ({
    name,
    dtype: "float32" as const,
    dims: openDims(after.types.get(name)!.dims.length),
  }));
  const values = await resultsOf({ ...after, outputs }, { x });
  for (const [i, name] of made.entries()) expect(after.types.get(name)?.dims).toEqual(values[i].dims);
  return after;
}

const ops = (graph: Graph) => graph.nodes.map((node) => node.op).filter((op) => op !== "Identity");

type Constants = (dims: number[], positive?: boolean) => string;

const normalize = (b: GraphBuilder, x: string, channels: number, constant: Constants) =>
  b.op(
    "BatchNormalization",
    [x, constant([channels]), constant([channels]), constant([channels]), constant([channels], true)],
    { epsilon: float(1e-3) },
  );

describe("foldBatchNormalization", () => {
  it("folds into convolutions of any grouping, with and without a bias", async () => {
    const cases = fc.record({
      group: fc.integer({ min: 1, max: 3 }),
      perIn: fc.integer({ min: 1, max: 3 }),
      perOut: fc.integer({ min: 1, max: 3 }),
      bias: fc.boolean(),
      transposed: fc.boolean(),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ group, perIn, perOut, bias, transposed, seed }) => {
        const channels = group * perOut;
        const graph = graphOf([2, group * perIn, 5, 4], seed, (b, x, constant) => {
          const weight = transposed ? [group * perIn, perOut, 2, 3] : [channels, perIn, 2, 3];
          const op = transposed ? "ConvTranspose" : "Conv";
          const attributes: Attributes = { group: int(group) };
          const inputs = [x, constant(weight), ...(bias ? [constant([channels])] : [])];
          return normalize(b, b.op(op, inputs, attributes), channels, constant);
        });
        expect(ops(await folded(graph))).toEqual([transposed ? "ConvTranspose" : "Conv"]);
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  it.each([0, 1])("folds into Gemm (transB %i) with its factors", async (transB) => {
    const graph = graphOf([3, 4], 5, (b, x, constant) => {
      const weight = constant(transB ? [6, 4] : [4, 6]);
      const attributes = { transB: int(transB), alpha: float(0.5), beta: float(2) };
      const y = b.op("Gemm", [x, weight, constant([6])], attributes);
      return normalize(b, y, 6, constant);
    });
    expect(ops(await folded(graph))).toEqual(["Gemm"]);
  });

  it("folds a layer scale behind a product, its bias and a transposition", async () => {
    const graph = graphOf([2, 3, 4, 5], 6, (b, x, constant) => {
      const y = b.op("Add", [b.op("MatMul", [x, constant([5, 6])]), constant([6])]);
      return b.op("Mul", [constant([6, 1, 1]), b.transpose(y, [0, 3, 1, 2])]);
    });
    expect(ops(await folded(graph))).toEqual(["MatMul", "Add", "Transpose"]);
  });

  it("folds sums, differences, quotients and scalars in turn", async () => {
    const graph = graphOf([1, 2, 3, 3], 7, (b, x, constant) => {
      const y = b.op("Conv", [x, constant([4, 2, 1, 1])]);
      const divided = b.op("Div", [b.op("Add", [y, constant([1, 4, 1, 1])]), constant([4, 1, 1], true)]);
      const turned = b.op("Sub", [constant([4, 1, 1]), b.op("Mul", [divided, b.scalar(3)])]);
      return b.op("Sub", [turned, b.scalar(0.25)]);
    });
    expect(ops(await folded(graph))).toEqual(["Conv"]);
  });

  it("does not write a bias of zeros", async () => {
    const graph = graphOf([2, 3], 8, (b, x, constant) =>
      b.op("Mul", [b.op("MatMul", [x, constant([3, 4])]), b.scalar(0.5)]),
    );
    expect(ops(await folded(graph))).toEqual(["MatMul"]);
  });

  it("leaves a product and its bias, and constants that differ along other axes", async () => {
    const linear = graphOf([2, 3], 9, (b, x, constant) =>
      b.op("Add", [b.op("MatMul", [x, constant([3, 4])]), constant([4])]),
    );
    expect(ops(await folded(linear))).toEqual(["MatMul", "Add"]);
    const positions = graphOf([1, 2, 4, 4], 10, (b, x, constant) =>
      b.op("Add", [b.op("Conv", [x, constant([4, 2, 1, 1])]), constant([4, 4])]),
    );
    expect(ops(await folded(positions))).toEqual(["Conv", "Add"]);
  });

  it("leaves what has another reader, and what follows no product", async () => {
    const graph = graphOf([1, 2, 3, 3], 11, (b, x, constant) => {
      const y = b.op("Conv", [x, constant([4, 2, 1, 1])]);
      const shared = b.op("Add", [normalize(b, y, 4, constant), y]);
      return normalize(b, b.op("Relu", [shared]), 4, constant);
    });
    const after = await folded(graph);
    expect(ops(after)).toEqual(["Conv", "BatchNormalization", "Add", "Relu", "BatchNormalization"]);
  });
});
