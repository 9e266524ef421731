import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { exposeStatistics } from "../../../src/onnx-vjp/compile/expose-statistics.ts";
import { planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { protoOfDataType } from "../../../src/onnx-vjp/graph/data-type.ts";
import { int } from "../../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../../src/onnx-vjp/graph/live.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../../src/onnx-vjp/vjp/derive.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { runGraph } from "../../support/run-graph.ts";

const runtime = nodeRuntime({ threads: 1 });
const dims = [2, 3, 4];

describe("exposeStatistics", () => {
  it.each(["LayerNormalization", "SimplifiedLayerNormalization"])(
    "spares the pullback of %s the reductions of its input",
    async (op) => {
      const b = new GraphBuilder();
      const scale = b.floats([3, 4], randomArray([3, 4], randomNumbers(1)).data);
      const y = b.op(op, [b.input("image", dims), scale], { axis: int(1) });
      b.output(y, { dims });
      const plain = await trace(runtime, b.graph, { image: dims });
      const exposed = exposeStatistics(plain);
      const random = randomNumbers(2);
      const feeds = { image: randomArray(dims, random), [`cotangent/${y}`]: randomArray(dims, random) };
      const gradients = [];
      const reductions = [];
      for (const graph of [plain, exposed]) {
        const derived = derive(graph, ["image"], [y]);
        const outputs = [{ name: derived.gradients[0], dtype: "float32" as const, dims }];
        const joint = withoutDeadNodes({ ...derived.graph, outputs });
        gradients.push((await runGraph(joint, feeds))[0].data);
        reductions.push(joint.nodes.filter((node) => node.op === "ReduceMean").length);
      }
      expect(reductions[1]).toBeLessThan(reductions[0]);
      expect(relativeError(gradients[1], gradients[0])).toBeLessThan(1e-5);
      for (const output of exposed.nodes[0].outputs.slice(1)) {
        expect(exposed.types.get(output)).toEqual({ dtype: "float32", dims: [2, 1, 1] });
        const [statistic] = await runGraph(
          { ...exposed, outputs: [{ name: output, dtype: "float32", dims: [2, 1, 1] }] },
          feeds,
        );
        expect([...statistic!.dims]).toEqual([2, 1, 1]);
      }
    },
  );

  // ONNX Runtime refuses them as outputs: ONNX has statistics in float32 alone.
  it.each(["LayerNormalization", "SimplifiedLayerNormalization"])(
    "leaves the statistics of %s in double precision to its pullback",
    async (op) => {
      const scale = randomArray([4], randomNumbers(1));
      const image = randomArray(dims, randomNumbers(2));
      const cotangent = Float32Array.from(randomArray(dims, randomNumbers(3)).data);
      const feeds = { image: new Tensor("float32", Float32Array.from(image.data), dims) };
      const [double, single] = await Promise.all(
        (["float64", "float32"] as const).map(async (dtype) => {
          const b = new GraphBuilder();
          const x = b.op("Cast", [b.input("image", dims)], { to: int(protoOfDataType(dtype)) });
          const normalized = b.op(op, [x, b.constant(constantOf(dtype, [4], scale.data))]);
          const y = b.op("Cast", [normalized], { to: int(1) });
          b.output(y, { dims });
          const plan = planDerivative(await trace(runtime, b.graph, { image: dims }), ["image"], y);
          const compiled = await compileDerivative(runtime, plan, "save");
          const { saved } = await compiled.forward(feeds);
          const gradients = await compiled.pullback(feeds, saved, cotangent);
          await compiled.release();
          return gradients.image!;
        }),
      );
      expect(relativeError(double!, single!)).toBeLessThan(1e-5);
    },
  );
});
