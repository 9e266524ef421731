import { describe, expect, it } from "vitest";
import { portable } from "../../../bench/lib/portable.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../../src/random.ts";
import { runGraph } from "../../support/run-graph.ts";

const random = seededRandom(0, "portable");
const normal = (dims: readonly number[]) =>
  Float64Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => random.normal());

/** The operators after the rewrite, and the largest difference of the outputs before and after it. */
async function rewritten(dims: readonly number[], write: (b: GraphBuilder) => string) {
  const b = new GraphBuilder();
  b.input("x", dims);
  b.output(write(b), { dims: [] }, "y");
  const graph = await trace(nodeRuntime({ threads: 1 }), b.graph, { x: dims });
  const after = portable(graph);
  const x = { dims, data: normal(dims) };
  const [[expected], [found]] = [await runGraph(graph, { x }), await runGraph(after, { x })];
  expect(found!.dims).toEqual(expected!.dims);
  const difference = Math.max(...expected!.data.map((value, i) => Math.abs(value - found!.data[i])));
  return { ops: after.nodes.map((node) => node.op), difference };
}
const weights = (b: GraphBuilder, dims: readonly number[]) => b.floats(dims, normal(dims));

describe("portable", () => {
  it("writes a convolution by patches as one product, with the same result", async () => {
    const { ops, difference } = await rewritten([2, 3, 6, 8], (b) =>
      b.op("Conv", ["x", weights(b, [5, 3, 3, 2]), weights(b, [5])], { strides: ints([3, 2]) }),
    );
    expect(ops).not.toContain("Conv");
    expect(ops.filter((op) => op === "MatMul")).toHaveLength(1);
    expect(difference).toBeLessThan(1e-5);
  });

  it("writes global pooling as a mean", async () => {
    const { ops, difference } = await rewritten([2, 3, 4, 5], (b) => b.op("GlobalAveragePool", ["x"]));
    expect(ops).toContain("ReduceMean");
    expect(ops).not.toContain("GlobalAveragePool");
    expect(difference).toBeLessThan(1e-6);
  });

  it("leaves convolutions whose windows overlap, leave an edge or are single pixels", async () => {
    for (const [kernel, strides] of [
      [3, 2],
      [4, 4],
      [1, 1],
    ] as const) {
      const { ops } = await rewritten([1, 2, 6, 6], (b) =>
        b.op("Conv", ["x", weights(b, [3, 2, kernel, kernel])], { strides: ints([strides, strides]) }),
      );
      expect(ops).toContain("Conv");
    }
  });
});
