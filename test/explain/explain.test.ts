import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { featuresOutput, imagesInput } from "../../src/encoder/batched-features.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { deltaInput, explainGraph, scoresOutput } from "../../src/explain/explain-graph.ts";
import { gradCam, gradientTimesInput } from "../../src/explain/heat.ts";
import { spatialTensor } from "../../src/explain/spatial-tensor.ts";
import { compileDerivative } from "../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../src/onnx-vjp/compile/plan.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { float, int, ints } from "../../src/onnx-vjp/graph/ir.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { probeOf } from "../../src/probe/probe.ts";
import { seededRandom } from "../../src/random.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const runtime = nodeRuntime({ threads: 1 });
const random = seededRandom(11, "explain");
const numbers = (n: number) => Float64Array.from({ length: n }, () => random.normal());
const image = { name: imagesInput, batch: 1, height: smallSide, width: smallSide };

describe("Grad-CAM", () => {
  it("of a map that is averaged and weighed is ReLU of the map weighed alike, over the number of places", () => {
    // y = Σ_k w_k mean_p A_k(p): the gradient is w_k/P at each place, so α_k = w_k/P.
    const [rows, columns, channels] = [2, 3, 4];
    const places = rows * columns;
    const values = Float32Array.from(numbers(channels * places));
    const weights = numbers(channels);
    const at = (p: number, c: number) => c * places + p;
    const gradient = Float32Array.from(
      { length: values.length },
      (_, i) => weights[Math.floor(i / places)] / places,
    );
    const cam = gradCam({ rows, columns, channels, at }, values, gradient);
    for (let p = 0; p < places; p++) {
      const sum = weights.reduce((s, w, c) => s + (w / places) * values[at(p, c)], 0);
      expect(cam.values[p]).toBeCloseTo(Math.max(0, sum), 6);
    }
  });

  it("of tokens leaves out those without a place", () => {
    const [channels, prefix] = [2, 1];
    const at = (p: number, c: number) => (prefix + p) * channels + c;
    const values = Float32Array.of(100, 100, 1, 2, 3, 4, 5, 6, 7, 8);
    const gradient = Float32Array.of(9, 9, 1, -1, 1, -1, 1, -1, 1, -1);
    const cam = gradCam({ rows: 2, columns: 2, channels, at }, values, gradient);
    // α = (1, −1): each token's first number minus its second is −1.
    expect([...cam.values]).toEqual([0, 0, 0, 0]);
    const opposite = gradCam(
      { rows: 2, columns: 2, channels, at },
      values,
      gradient.map((x) => -x),
    );
    expect([...opposite.values]).toEqual([1, 1, 1, 1]);
  });
});

it("gradient × input is the sum over colors of the departure from the mean, times the gradient", () => {
  const heat = gradientTimesInput(
    Float32Array.of(0.5, 1, 0.25, 0, 0.75, 0.5),
    Float32Array.of(2, 4, 8, 16, 32, 64),
    [0.5, 0.25, 0.5],
    [1, 2],
  );
  expect([...heat.values]).toEqual([0 + 0 + 0.25 * 32, 0.5 * 4 - 0.25 * 16 + 0]);
});

describe("the gradients", () => {
  it.each(["none", "standardize-l2"] as const)(
    "of a class's score with respect to pixels and to the map agree with finite differences (%s)",
    async (normalization) => {
      const encoder = await createEncoder(runtime, smallEncoder(smallGraph()));
      const probe = probeOf({
        weight: matrix(smallFeatures, 3, numbers(smallFeatures * 3)),
        map: featureMap({
          normalization,
          mean: numbers(smallFeatures),
          std: numbers(smallFeatures).map((x) => 0.5 + Math.abs(x)),
        }),
        lambda: 1,
      });
      const graph = await encoder.tracedGraph(1);
      const tensor = spatialTensor(graph, featuresOutput, image);
      expect(tensor.dims).toEqual([1, 4, smallSide, smallSide]);
      const plan = planDerivative(
        explainGraph(graph, tensor.name, probe),
        [imagesInput, deltaInput],
        [scoresOutput, tensor.name],
      );
      const f = await compileDerivative(runtime, plan, "recompute");
      const pixels = Float32Array.from({ length: 3 * smallSide ** 2 }, () => random.uniform());
      const delta = new Float32Array(4 * smallSide ** 2);
      const feedsOf = (x: Float32Array, d: Float32Array) => ({
        [imagesInput]: new Tensor("float32", x, [1, 3, smallSide, smallSide]),
        [deltaInput]: new Tensor("float32", d, [1, 4, smallSide, smallSide]),
      });
      const label = 1;
      const scoreOf = async (x: Float32Array, d: Float32Array) => {
        const { values } = await f.forward(feedsOf(x, d));
        return (values[scoresOutput].data as Float32Array)[label];
      };
      const features = await encoder.features(pixels, 1);
      const expected = probe.scores(matrix(1, smallFeatures, Float64Array.from(features)));
      expect(await scoreOf(pixels, delta)).toBeCloseTo(expected.data[label], 4);
      const feeds = feedsOf(pixels, delta);
      const { saved } = await f.forward(feeds);
      const gradients = await f.pullback(feeds, saved, { [scoresOutput]: Float32Array.of(0, 1, 0) });
      for (const [name, at, size] of [
        [imagesInput, pixels, 0.01],
        [deltaInput, delta, 0.05],
      ] as const) {
        const direction = Float32Array.from(at, () => random.normal());
        const moved = (step: number) => at.map((x, i) => x + step * direction[i]);
        const value = (step: number) =>
          name === imagesInput ? scoreOf(moved(step), delta) : scoreOf(pixels, moved(step));
        const difference = ((await value(size)) - (await value(-size))) / (2 * size);
        const along = gradients[name].reduce((sum, g, i) => sum + g * direction[i], 0);
        expect(Math.abs(along - difference)).toBeLessThan(2e-2 * Math.abs(difference) + 2e-3);
      }
      await f.release();
      await encoder.release();
    },
  );
});

describe("the tensor that Grad-CAM looks at", () => {
  /** Patches of 2 × 2 as 16 tokens behind a class token, normalized twice; the feature is the class token. */
  function tokens(pooled: "cls" | "mean") {
    const b = new GraphBuilder();
    const d = 6;
    const x = b.input("pixels", ["batch", 3, smallSide, smallSide]);
    const weights = (...dims: number[]) => b.floats(dims, numbers(dims.reduce((p, n) => p * n, 1)));
    const patches = b.op("Conv", [x, weights(d, 3, 2, 2)], { strides: ints([2, 2]) });
    const flat = b.op("Transpose", [b.op("Reshape", [patches, b.ints([0, d, 16])])], {
      perm: ints([0, 2, 1]),
    });
    const first = b.op("Slice", [flat, b.ints([0]), b.ints([1]), b.ints([1])]);
    const all = b.op("Concat", [first, flat], { axis: int(1) });
    const norm = (value: string, name: string) =>
      b.named("LayerNormalization", [value, weights(d), weights(d)], name, {
        axis: int(-1),
        epsilon: float(1e-5),
      });
    const scores = b.op("MatMul", [
      norm(all, "before"),
      b.op("Transpose", ["before"], { perm: ints([0, 2, 1]) }),
    ]);
    const mixed = b.op("MatMul", [b.op("Softmax", [scores], { axis: int(-1) }), "before"]);
    norm(b.op("Add", [all, mixed]), "after");
    if (pooled === "mean") b.named("ReduceMean", ["after", b.ints([1])], "features", { keepdims: int(0) });
    else b.named("Gather", ["after", b.scalar(0, "int64")], "features", { axis: int(1) });
    b.output("features", { dims: ["batch", d] });
    return b.graph;
  }

  it.each(["cls", "mean"] as const)("is the last tokens that all patches have (%s)", async (pooled) => {
    const encoder = await createEncoder(runtime, smallEncoder(tokens(pooled)));
    const graph = await encoder.tracedGraph(1);
    const tensor = spatialTensor(graph, featuresOutput, image);
    expect([tensor.rows, tensor.columns, tensor.channels]).toEqual([4, 4, 6]);
    expect(tensor.shown).toBe("tokens [17, 6], 1 without a place");
    const type = graph.nodes.find(({ outputs }) => outputs.includes(tensor.name))!.op;
    expect(type).toBe("LayerNormalization");
    await encoder.release();
  });

  it("may be chosen by its name; one that is no map is refused with the names of maps", async () => {
    const encoder = await createEncoder(runtime, smallEncoder(smallGraph()));
    const graph = await encoder.tracedGraph(1);
    expect(spatialTensor(graph, featuresOutput, image, "map").name).toBe("map");
    expect(() => spatialTensor(graph, featuresOutput, image, featuresOutput)).toThrow(
      /no map of places.*map/,
    );
    expect(() => spatialTensor(graph, featuresOutput, image, "nothing")).toThrow(/no tensor "nothing".*map/);
    await encoder.release();
  });
});
