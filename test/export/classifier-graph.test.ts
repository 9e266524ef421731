import { describe, expect, it } from "vitest";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { classifierGraph, classifierInput } from "../../src/export/classifier-graph.ts";
import { onnxFiles } from "../../src/export/onnx-files.ts";
import { withOpenBatch } from "../../src/export/open-batch.ts";
import { stored } from "../../src/export/storage.ts";
import { preprocess } from "../../src/images/preprocess.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { constantOf, numbersOf } from "../../src/onnx-vjp/graph/constant.ts";
import { type Graph, int } from "../../src/onnx-vjp/graph/ir.ts";
import { readOnnx } from "../../src/onnx-vjp/graph/read-onnx.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { probeOf } from "../../src/probe/probe.ts";
import { seededRandom } from "../../src/random.ts";
import { runGraph } from "../support/run-graph.ts";
import { smallEncoder, smallFeatures, smallGraph } from "../support/small-encoder.ts";

const random = seededRandom(5, "classifier");
const numbers = (n: number) => Float64Array.from({ length: n }, () => random.normal());
const runtime = nodeRuntime({ threads: 1 });
const classes = 4;
const calibration = { temperature: 0.25, unknownBelow: 0, falseAlarms: 0.05, images: 9 };
const probe = probeOf(
  {
    weight: matrix(smallFeatures, classes, numbers(smallFeatures * classes)),
    map: featureMap({
      normalization: "standardize-l2",
      mean: numbers(smallFeatures),
      std: numbers(smallFeatures).map((x) => 0.5 + Math.abs(x)),
    }),
    lambda: 1,
  },
  calibration,
);

async function openSmall() {
  const encoder = await createEncoder(runtime, smallEncoder(smallGraph()));
  const at = async (batch: number) => ({ batch, graph: await encoder.tracedGraph(batch) });
  const graph = withOpenBatch(await at(2), await at(3), "images");
  return { encoder, graph: graph! };
}

/** Pictures of one size as the input, with opacity where `alpha` gives it, and as they are on white. */
function pictures(count: number, width: number, height: number, alpha?: (i: number) => number) {
  const area = width * height;
  const channels = alpha ? 4 : 3;
  const data = new Float64Array(count * channels * area);
  const onWhite = Array.from({ length: count }, () => new Uint8Array(3 * area));
  for (let k = 0; k < count; k++) {
    for (let p = 0; p < area; p++) {
      const opacity = alpha?.(p) ?? 1;
      for (let c = 0; c < 3; c++) {
        const value = Math.floor(256 * random.uniform());
        data[(k * channels + c) * area + p] = value / 255;
        onWhite[k][3 * p + c] = Math.round(value * opacity + 255 * (1 - opacity));
      }
      if (alpha) data[(k * channels + 3) * area + p] = opacity;
    }
  }
  return {
    input: { [classifierInput]: { dims: [count, channels, height, width], data } },
    images: onWhite.map((pixels) => ({ width, height, data: pixels })),
  };
}

describe("the classifier's graph", () => {
  it.each([
    { count: 1, width: 8, height: 8 },
    { count: 3, width: 21, height: 13 },
    { count: 2, width: 40, height: 9, alpha: (p: number) => (p % 3) / 2 },
    { count: 1, width: 9, height: 30, alpha: (p: number) => p % 2 },
  ])(
    "gives the scores of encoder and probe over the temperature: $count × $width × $height",
    async (size) => {
      const { encoder, graph: open } = await openSmall();
      const { preprocessing } = encoder;
      const graph = classifierGraph({ encoder: { graph: open, batch: undefined }, preprocessing, probe });
      const { input, images } = pictures(size.count, size.width, size.height, size.alpha);
      const pixels = images.flatMap((image) => [...preprocess(image, preprocessing)]);
      const features = await encoder.features(Uint8Array.from(pixels), size.count);
      const expected = probe.scores(matrix(size.count, smallFeatures, Float64Array.from(features)));
      const [found] = await runGraph(graph, input);
      expect(found.dims).toEqual([size.count, classes]);
      // Half-transparent colors are not rounded to 8 bits in the graph.
      const digits = size.alpha ? 1 : 4;
      for (const [i, logit] of found.data.entries())
        expect(logit * calibration.temperature).toBeCloseTo(expected.data[i], digits);
      await encoder.release();
    },
  );

  it("takes gray pictures: the same in all colors", async () => {
    const { encoder, graph: open } = await openSmall();
    const graph = classifierGraph({
      encoder: { graph: open, batch: undefined },
      preprocessing: encoder.preprocessing,
      probe,
    });
    const gray = Float64Array.from({ length: 15 * 17 }, () => random.uniform());
    const of = (data: Float64Array, channels: number) =>
      runGraph(graph, { pixel_values: { dims: [1, channels, 15, 17], data } });
    const [one] = await of(gray, 1);
    const [three] = await of(Float64Array.from([...gray, ...gray, ...gray]), 3);
    expect([...one.data]).toEqual([...three.data]);
    await encoder.release();
  });
});

describe("a graph for any batch", () => {
  /** Tokens behind a class token of the batch's size, as exporters write them, traced at one batch. */
  function traced(batch: number, odd = false): Graph {
    const b = new GraphBuilder();
    const x = b.input("x", [batch, 2, 3]);
    const token = Array.from({ length: batch }, (_, i) => [7, 8, odd ? i : 9]).flat();
    b.graph.constants.set("class", constantOf("float32", [batch, 1, 3], token));
    const all = b.op("Concat", ["class", x], { axis: int(1) });
    b.graph.constants.set("shape", constantOf("int64", [2], [batch * 3, 3]));
    const rows = b.op("Reshape", [all, "shape"]);
    b.graph.constants.set("whole", constantOf("int64", [3], [batch, 3, 3]));
    b.output(b.op("Expand", [b.op("Reshape", [rows, "whole"]), "whole"]), { dims: [batch, 3, 3] });
    return b.graph;
  }
  const at = (batch: number, odd?: boolean) => ({ batch, graph: traced(batch, odd) });

  it("comes from two traces: shapes and repeated tensors grow with it", async () => {
    const open = withOpenBatch(at(2), at(3), "x")!;
    expect(open.inputs[0].dims[0]).toBe("batch");
    for (const batch of [1, 2, 5]) {
      const data = numbers(batch * 6);
      const [found] = await runGraph(open, { x: { dims: [batch, 2, 3], data } });
      expect(found.dims).toEqual([batch, 3, 3]);
      for (let i = 0; i < batch; i++) {
        expect([...found.data.subarray(9 * i, 9 * i + 3)]).toEqual([7, 8, 9]);
        for (let k = 0; k < 6; k++) expect(found.data[9 * i + 3 + k]).toBeCloseTo(data[6 * i + k], 6);
      }
    }
  });

  it("is none where the traces differ otherwise: a token for each place of the batch", () => {
    expect(withOpenBatch(at(2, true), at(3, true), "x")).toBeUndefined();
  });
});

describe("stored weights", () => {
  const [rows, columns] = [96, 64];
  const weights = Float32Array.from(numbers(rows * columns));
  const product = (): Graph => {
    const b = new GraphBuilder();
    b.output(b.op("MatMul", [b.input("x", ["n", rows]), b.floats([rows, columns], weights)]), {
      dims: ["n", columns],
    });
    return b.graph;
  };
  const unit = (row: number) => ({
    dims: [1, rows],
    data: Float64Array.from({ length: rows }, (_, i) => (i === row ? 1 : 0)),
  });

  it("of fp16 are the nearest numbers of half precision", async () => {
    const [row] = await runGraph(stored(product(), "fp16"), { x: unit(3) });
    for (const [c, value] of row.data.entries()) {
      const exact = weights[3 * columns + c];
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(Math.abs(exact) * 2 ** -11 + 2 ** -25);
    }
  });

  it("of q8 are off by half a step of their channel at most", async () => {
    const graph = stored(product(), "q8");
    for (const row of [0, 50, rows - 1]) {
      const [found] = await runGraph(graph, { x: unit(row) });
      for (const [c, value] of found.data.entries()) {
        let peak = 0;
        for (let r = 0; r < rows; r++) peak = Math.max(peak, Math.abs(weights[r * columns + c]));
        expect(Math.abs(value - weights[row * columns + c])).toBeLessThanOrEqual(peak / 254 + 1e-6);
      }
    }
  });

  it("take a half and a quarter of the bytes", () => {
    const bytes = (["fp32", "fp16", "q8"] as const).map((dtype) => onnxFiles(product(), dtype, {}).bytes);
    expect(bytes[1] / bytes[0]).toBeLessThan(0.52);
    expect(bytes[2] / bytes[0]).toBeLessThan(0.3);
  });

  it("are in files beside the model where they are large, each within the limit", async () => {
    const b = new GraphBuilder();
    let x = b.input("x", ["n", 64]);
    const all = Array.from({ length: 5 }, () => Float32Array.from(numbers(64 * 64)));
    for (const values of all) x = b.op("MatMul", [x, b.floats([64, 64], values)]);
    b.output(x, { dims: ["n", 64] });
    const { model, weights: chunks } = onnxFiles(b.graph, "fp32", { key: "value" }, 40_000);
    expect(chunks.map(({ name }) => name)).toEqual([
      "model.onnx_data",
      "model.onnx_data_1",
      "model.onnx_data_2",
    ]);
    const contents = new Map(
      chunks.map(({ name, parts }) => {
        const end = Math.max(...parts.map(({ data, offset }) => offset + data.byteLength));
        expect(end).toBeLessThanOrEqual(40_000);
        const file = new Uint8Array(end);
        for (const { data, offset } of parts) file.set(data, offset);
        return [name, file];
      }),
    );
    const read = await readOnnx(model, "model", async (location, offset, length) =>
      contents.get(location)!.slice(offset, length === undefined ? undefined : offset + length),
    );
    const found = [...read.constants.values()].map((constant) => [...numbersOf(constant)]);
    expect(found).toEqual(all.map((values) => [...values]));
    expect(new TextDecoder().decode(model)).toContain("value");
  });
});
