import { describe, expect, it } from "vitest";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { tensorOf } from "../../support/pullback.ts";

const runtime = nodeRuntime({ threads: 1 });
const dims = [2, 3, 8, 8];

/** Convolution, clipped activation, overlapping maximum pool, convolution, activation. */
async function network() {
  const random = randomNumbers(7);
  const b = new GraphBuilder();
  const weight = (shape: number[]) => b.floats(shape, randomArray(shape, random).data);
  const x = b.op("Conv", [b.input("image", dims), weight([4, 3, 3, 3])], { pads: ints([1, 1, 1, 1]) });
  const clipped = b.op("Clip", [x, b.scalar(0), b.scalar(1)]);
  const pooled = b.op("MaxPool", [clipped], {
    kernel_shape: ints([3, 3]),
    strides: ints([2, 2]),
    pads: ints([1, 1, 1, 1]),
  });
  const y = b.op("Relu", [b.op("Conv", [pooled, weight([5, 4, 1, 1])])]);
  b.output(y, { dims: [2, 5, 4, 4] }, "feature");
  return await trace(runtime, b.graph, { image: dims });
}

describe("hoist", () => {
  it("keeps masks and positions in place of activations, and the gradient as it was", async () => {
    const plan = planDerivative(await network(), ["image"], "feature");
    const image = tensorOf(randomArray(dims, randomNumbers(3)));
    const cotangent = Float32Array.from(randomArray([2, 5, 4, 4], randomNumbers(4)).data);
    const gradients = [];
    for (const activations of ["save", "recompute"] as const) {
      const f = await compileDerivative(runtime, plan, activations);
      const { value, saved } = await f.forward({ image });
      expect(value.length).toBe(2 * 5 * 4 * 4);
      gradients.push((await f.pullback({ image }, saved, cotangent)).image!);
      await f.release();
    }
    expect(relativeError(gradients[0], gradients[1])).toBeLessThan(1e-6);

    const kept = plan.saved.map((name) => plan.traced.types.get(name)!);
    expect(kept).toContainEqual({ dtype: "bool", dims: [2, 4, 8, 8] });
    expect(kept).toContainEqual({ dtype: "int64", dims: [2, 4, 4, 4] });
    expect(kept).toContainEqual({ dtype: "bool", dims: [2, 5, 4, 4] });
    expect(kept).toHaveLength(3);
  });

  it("leaves the forward's maxima without positions where nothing is kept", async () => {
    const plan = planDerivative(await network(), ["image"], "feature");
    const pool = plan.plain.nodes.find((node) => node.op === "MaxPool")!;
    expect(pool.outputs).toHaveLength(1);
  });
});
