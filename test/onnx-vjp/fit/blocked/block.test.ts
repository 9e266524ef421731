import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { compileDerivative } from "../../../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../../../src/onnx-vjp/compile/plan.ts";
import { blockGraph } from "../../../../src/onnx-vjp/fit/blocked/block.ts";
import { blockedDomain } from "../../../../src/onnx-vjp/fit/blocked/layout.ts";
import { GraphBuilder } from "../../../../src/onnx-vjp/graph/builder.ts";
import { type Graph, int, ints, sizeOf } from "../../../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../../../src/random.ts";
import { relativeError } from "../../../support/check-rule.ts";
import { build } from "../../../support/reference.ts";

const runtime = nodeRuntime({ threads: 1 });
const { convolutionBlock: _, ...plainRuntime } = runtime;
const random = seededRandom(0, "blocked");
const numbers = (dims: readonly number[]) =>
  Float32Array.from({ length: sizeOf(dims) }, () => random.normal() / 3);

interface Layer {
  readonly out: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly group?: number;
}

function conv(b: GraphBuilder, x: string, from: number, layer: Layer): string {
  const { out, kernel, stride = 1, group = 1 } = layer;
  const pad = Math.floor(kernel / 2);
  const weight = [out, from / group, kernel, kernel];
  return b.op("Conv", [x, b.floats(weight, numbers(weight)), b.floats([out], numbers([out]))], {
    kernel_shape: ints([kernel, kernel]),
    strides: ints([stride, stride]),
    pads: ints([pad, pad, pad, pad]),
    group: int(group),
  });
}

const relu6 = (b: GraphBuilder, x: string) => b.op("Clip", [x, b.scalar(0), b.scalar(6)]);

/** ConvNeXt's blocks: a depthwise convolution, then layers of its own for each place, added to what there was. */
function mixed(b: GraphBuilder, image: string, widths: readonly number[]): string {
  let [x, from] = [image, 3];
  for (const width of widths) {
    x = conv(b, x, from, { out: width, kernel: 3, stride: 2 });
    const deep = b.transpose(conv(b, x, width, { out: width, kernel: 7, group: width }), [0, 2, 3, 1]);
    const norm = b.op("LayerNormalization", [deep, b.floats([width], numbers([width]))]);
    const weight = b.floats([width, width], numbers([width, width]));
    x = b.op("Add", [b.transpose(b.op("Sigmoid", [b.op("MatMul", [norm, weight])]), [0, 3, 1, 2]), x]);
    from = width;
  }
  return x;
}

/** Networks whose channels do and do not fill blocks of 8 and 16, with sums, strides and gates. */
const networks: Readonly<Record<string, (b: GraphBuilder, image: string) => string>> = {
  "an inverted residual": (b, image) => {
    const stem = relu6(b, conv(b, image, 3, { out: 24, kernel: 3, stride: 2 }));
    const wide = relu6(b, conv(b, stem, 24, { out: 40, kernel: 1 }));
    const deep = relu6(b, conv(b, wide, 40, { out: 40, kernel: 5, group: 40 }));
    return b.op("Add", [conv(b, deep, 40, { out: 24, kernel: 1 }), stem]);
  },
  "one convolution, whose pullback has none": (b, image) =>
    b.op("Relu", [conv(b, image, 3, { out: 16, kernel: 3 })]),
  "a strided depthwise convolution": (b, image) => {
    const stem = b.op("Relu", [conv(b, image, 3, { out: 32, kernel: 3 })]);
    return b.op("Relu", [conv(b, stem, 32, { out: 32, kernel: 3, stride: 2, group: 32 })]);
  },
  "a strided block with two branches": (b, image) => {
    const stem = b.op("Relu", [conv(b, image, 3, { out: 16, kernel: 3 })]);
    const main = conv(b, b.op("Relu", [conv(b, stem, 16, { out: 20, kernel: 3, stride: 2 })]), 20, {
      out: 48,
      kernel: 3,
    });
    return b.op("Relu", [b.op("Add", [main, conv(b, stem, 16, { out: 48, kernel: 1, stride: 2 })])]);
  },
  "groups and a pool": (b, image) => {
    const stem = b.op("Sigmoid", [conv(b, image, 3, { out: 32, kernel: 3 })]);
    const grouped = conv(b, stem, 32, { out: 64, kernel: 3, group: 2 });
    return b.op("MaxPool", [b.op("HardSwish", [grouped])], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
    });
  },
  "a gate for each channel": (b, image) => {
    const stem = b.op("HardSwish", [conv(b, image, 3, { out: 24, kernel: 3 })]);
    const squeezed = conv(b, b.op("GlobalAveragePool", [stem]), 24, { out: 24, kernel: 1 });
    return conv(b, b.op("Mul", [stem, b.op("HardSigmoid", [squeezed])]), 24, { out: 30, kernel: 1 });
  },
  "blocks with the channels last between their convolutions": (b, image) => mixed(b, image, [24, 40]),
  "channels last that are no multiple of four": (b, image) => mixed(b, image, [18, 22]),
  "channels that are no multiple of four": (b, image) => {
    const stem = b.op("Relu", [conv(b, image, 3, { out: 18, kernel: 3 })]);
    return b.op("Relu", [conv(b, stem, 18, { out: 22, kernel: 3 })]);
  },
};

function networkGraph(build: (b: GraphBuilder, image: string) => string): Graph {
  const b = new GraphBuilder();
  const image = b.input("image", [2, 3, 16, 16]);
  const flat = b.op("Flatten", [build(b, image)]);
  b.output(flat, { dims: [2, "features"] }, "features");
  return b.graph;
}

describe("blocked convolutions", () => {
  it.each(Object.entries(networks))("compute %s as plain ones do", async (_name, build) => {
    const graph = networkGraph(build);
    const dims = [2, 3, 16, 16];
    const prepared = await prepareGraph(runtime, graph, { image: dims });
    const feeds = { image: new Tensor("float32", numbers(dims), dims) };
    const plan = planDerivative(prepared, ["image"], "features");
    const cotangent = numbers(prepared.types.get("features")!.dims);
    for (const activations of ["save", "recompute"] as const) {
      const results = [];
      for (const each of [runtime, plainRuntime]) {
        const compiled = await compileDerivative(each, plan, activations);
        const { value, saved } = await compiled.forward(feeds);
        const { image } = await compiled.pullback(feeds, saved, cotangent);
        await compiled.release();
        results.push({ value, image: image! });
      }
      expect(relativeError(results[0].value, results[1].value)).toBeLessThan(1e-6);
      expect(relativeError(results[0].image, results[1].image)).toBeLessThan(1e-6);
    }
  });

  it("lay an image out anew only where the network begins and ends", async () => {
    const prepared = await prepareGraph(runtime, networkGraph(networks["an inverted residual"]), {
      image: [2, 3, 16, 16],
    });
    const { graph } = blockGraph(prepared, prepared.types, 8);
    const inDomain = graph.nodes.filter((node) => node.domain === blockedDomain).map((node) => node.op);
    expect(inDomain).toEqual(["Conv", "Conv", "Conv", "Conv", "ReorderOutput"]);
    expect(graph.nodes.map((node) => node.op)).not.toContain("Clip");
  });

  it("take values with the channels last, and give such, without transpositions", async () => {
    const graph = networkGraph((b, image) => conv(b, mixed(b, image, [16, 32]), 32, { out: 16, kernel: 1 }));
    const prepared = await prepareGraph(runtime, graph, { image: [2, 3, 16, 16] });
    const plan = planDerivative(prepared, ["image"], "features");
    const written: Graph[] = [];
    const watching = {
      ...runtime,
      session: (given: Graph) => {
        written.push(given);
        return runtime.session(given);
      },
    };
    await (await compileDerivative(watching, plan, "save")).release();
    expect(written).toHaveLength(2);
    const count = (op: string) => written.map(({ nodes }) => nodes.filter((node) => node.op === op).length);
    if ((await runtime.convolutionBlock!()) > 1) expect(count("Transpose")).toEqual([0, 0]);
    else expect(count("Transpose")[0]).toBe(4);
  });

  // As PyTorch's AvgPool2d(2, 2, ceil_mode=True) is exported: 7 × 7 ends in windows of 2 and of 1.
  it("feed a mean over windows that reach over the end", async () => {
    const dims = [1, 3, 7, 7];
    const b = new GraphBuilder();
    const weight = numbers([16, 3, 1, 1]);
    const convolved = b.op("Conv", [b.input("image", dims), b.floats([16, 3, 1, 1], weight)]);
    const pooled = b.op("AveragePool", [convolved], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
      ceil_mode: int(1),
      count_include_pad: int(1),
    });
    b.output(pooled, { dims: [1, 16, 4, 4] });
    const image = numbers(dims);
    const prepared = await prepareGraph(runtime, b.graph, { image: dims });
    const compiled = await compileDerivative(runtime, planDerivative(prepared, ["image"], pooled), "save");
    const { value } = await compiled.forward({ image: new Tensor("float32", image, dims) });
    await compiled.release();
    const expected = build([1, 16, 4, 4], ([, k, row, column]) => {
      const ends = (at: number) => [2 * at, 2 * at + 1].filter((i) => i < 7);
      const values = ends(row!).flatMap((i) =>
        ends(column!).map((j) =>
          [0, 1, 2].reduce((sum, c) => sum + weight[3 * k! + c] * image[(7 * c + i) * 7 + j], 0),
        ),
      );
      return values.reduce((sum, v) => sum + v, 0) / values.length;
    });
    expect(relativeError(value, expected.data)).toBeLessThan(1e-6);
  });

  it("are left to ONNX Runtime where it has no blocked layout", async () => {
    const graph = networkGraph(networks["groups and a pool"]);
    expect(blockGraph(graph, new Map(), 1).graph).toBe(graph);
  });
});
