import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, ints, sizeOf } from "../../../src/onnx-vjp/graph/ir.ts";
import type { Runtime } from "../../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../../src/random.ts";

/** A runtime on a card, or undefined where there is none (or no driver in software in its place). */
async function onCard(): Promise<Runtime | undefined> {
  const runtime = nodeRuntime({ device: "webgpu" });
  const b = new GraphBuilder();
  b.output(b.op("Neg", [b.input("x", [1])]), { dims: [1] });
  try {
    await (await runtime.session(b.graph)).release();
    return runtime;
  } catch {
    return undefined;
  }
}

interface Convolution {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly pads: readonly number[];
  readonly stride: number;
  readonly groups: number;
  readonly side: number;
}

const shapes: readonly Convolution[] = [2, 3, 8].flatMap((side) =>
  [2, 3].flatMap((kernel) =>
    [
      [0, 0, 0, 0],
      [1, 1, 1, 1],
      [0, 0, 1, 1],
      [1, 1, 0, 0],
    ].flatMap((pads) =>
      [
        [3, 8, 1],
        [6, 8, 1],
        [9, 4, 1],
        [16, 24, 1],
        [8, 12, 2],
        [24, 24, 4],
        [16, 16, 16],
      ].flatMap(([inputs, outputs, groups]) =>
        side + pads[0] + pads[2] < kernel
          ? []
          : [{ inputs: inputs!, outputs: outputs!, groups: groups!, kernel, pads, stride: 1, side }],
      ),
    ),
  ),
);

const card = await onCard();

describe.skipIf(card === undefined)("WebGPU", () => {
  it("computes convolutions of all kinds as the processor does", async () => {
    const random = seededRandom(0, "webgpu convolutions");
    const draw = (dims: readonly number[]) =>
      Float32Array.from({ length: sizeOf(dims) }, () => random.normal());
    const wrong: Convolution[] = [];
    for (const shape of shapes) {
      const { inputs, outputs, kernel, pads, stride, groups, side } = shape;
      const b = new GraphBuilder();
      const dims = [2, inputs, side, side];
      const weight = [outputs, inputs / groups, kernel, kernel];
      const y = b.op("Conv", [b.input("x", dims), b.floats(weight, draw(weight))], {
        kernel_shape: ints([kernel, kernel]),
        pads: ints(pads),
        strides: ints([stride, stride]),
        group: int(groups),
      });
      b.output(y, { dims: [] });
      const x = draw(dims);
      const [here, there] = await Promise.all(
        [nodeRuntime({ threads: 1 }), card!].map(async (runtime) => {
          const session = await runtime.session(b.graph);
          const results = await session.run({ x: new Tensor("float32", x, dims) });
          const values = Float32Array.from(results[y].data as Float32Array);
          await session.release();
          return values;
        }),
      );
      const size = Math.hypot(...here!);
      const error = Math.hypot(...here!.map((value, i) => value - there![i]!));
      if (!(error < 1e-4 * size)) wrong.push(shape);
    }
    expect(wrong).toEqual([]);
  }, 120_000);
});
