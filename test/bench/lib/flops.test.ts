import { describe, expect, it } from "vitest";
import { countFlops } from "../../../bench/lib/flops.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int } from "../../../src/onnx-vjp/graph/ir.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";

/** Traced work of a graph of one input x and one output y. */
async function work(dims: readonly number[], write: (b: GraphBuilder) => string) {
  const b = new GraphBuilder();
  b.input("x", dims);
  b.output(write(b), { dims: [] }, "y");
  return countFlops(await trace(nodeRuntime({ threads: 1 }), b.graph, { x: dims }), ["x"], ["y"]);
}
const zeros = (b: GraphBuilder, dims: number[]) =>
  b.floats(dims, new Float32Array(dims.reduce((product, d) => product * d, 1)));

describe("countFlops", () => {
  it("counts 2·rows·inner·columns for a product with a weight, and as much for its pullback", async () => {
    const flops = 2 * 5 * 7 * 3;
    expect(await work([5, 7], (b) => b.op("MatMul", ["x", zeros(b, [7, 3])]))).toEqual({
      forward: flops,
      pullback: flops,
    });
    const transposed = (b: GraphBuilder) => b.op("Gemm", ["x", zeros(b, [7, 3])], { transA: int(1) });
    expect(await work([7, 5], transposed)).toEqual({ forward: flops, pullback: flops });
  });

  it("counts two products in the pullback where both factors depend on the input", async () => {
    const flops = 2 * 4 * 6 * 6 * 6;
    const square = (b: GraphBuilder) => b.op("MatMul", ["x", b.op("Neg", ["x"])]);
    expect(await work([4, 6, 6], square)).toEqual({ forward: flops, pullback: 2 * flops });
  });

  it("counts a grouped convolution by the channels of one group, and nothing for what is not a product", async () => {
    // 2 images of 6 channels of 6 × 6, each from 2 channels of 3 × 3.
    const flops = 2 * (2 * 6 * 6 * 6) * (2 * 3 * 3);
    const convolution = (b: GraphBuilder) =>
      b.op("Relu", [b.op("Conv", ["x", zeros(b, [6, 2, 3, 3])], { group: int(2) })]);
    expect(await work([2, 4, 8, 8], convolution)).toEqual({ forward: flops, pullback: flops });
  });
});
