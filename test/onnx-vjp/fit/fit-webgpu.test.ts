import { describe, expect, it } from "vitest";
import { notForWebgpu, withPadsApart } from "../../../src/onnx-vjp/fit/fit-webgpu.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Graph, int, ints, intsAttribute } from "../../../src/onnx-vjp/graph/ir.ts";
import { randomArray, randomNumbers } from "../../support/check-rule.ts";
import { expectSameResults } from "../../support/same-results.ts";

const weight = (b: GraphBuilder, ...dims: number[]) =>
  b.floats(dims, randomArray(dims, randomNumbers(1)).data);

/** A convolution of 1 × 1. */
function conv(inputs: number, outputs: number, groups = 1): (b: GraphBuilder) => void {
  return (b) => {
    const x = b.input("x", [1, inputs, 4, 4]);
    b.op("Conv", [x, weight(b, outputs, inputs / groups, 1, 1)], { group: int(groups) });
  };
}

const named = (write: (b: GraphBuilder) => void): string[] => {
  const b = new GraphBuilder();
  write(b);
  return notForWebgpu(b.graph).map((node) => node.name);
};

describe("notForWebgpu", () => {
  const bad: [string, (b: GraphBuilder) => void][] = [
    [
      "a pooling with the places of its maxima",
      (b) => b.ops("MaxPool", [b.input("x", [1, 4, 4, 4])], 2, { kernel_shape: ints([2, 2]) }),
    ],
    [
      "a root-mean-square normalization with its deviations",
      (b) => b.ops("SimplifiedLayerNormalization", [b.input("x", [2, 4]), weight(b, 4)], 2),
    ],
    ["a convolution of 6 channels to 8", conv(6, 8)],
    ["a convolution of 9 channels to 4", conv(9, 4)],
    ["a convolution of 18 channels to 16", conv(18, 16)],
    ["groups of 6 channels", conv(24, 24, 4)],
    ["groups of 3 channels", conv(8, 12, 4)],
    ["groups of 2 channels", conv(8, 8, 4)],
  ];
  it.each(bad)("names %s", (_, write) => {
    const b = new GraphBuilder();
    write(b);
    expect(named(write)).toEqual([b.graph.nodes.at(-1)!.name]);
  });

  const good: [string, (b: GraphBuilder) => void][] = [
    ["a pooling alone", (b) => b.op("MaxPool", [b.input("x", [1, 4, 4, 4])], { kernel_shape: ints([2, 2]) })],
    [
      "a normalization alone",
      (b) => b.op("SimplifiedLayerNormalization", [b.input("x", [2, 4]), weight(b, 4)]),
    ],
    [
      "outputs that are left out",
      (b) => {
        const [x, attributes] = [b.input("x", [1, 4, 4, 4]), { kernel_shape: ints([2, 2]) }];
        const node = { op: "MaxPool", domain: "", name: "pool", inputs: [x], outputs: ["y", ""], attributes };
        b.graph.nodes.push(node);
      },
    ],
    [
      "statistics of a LayerNormalization",
      (b) => b.ops("LayerNormalization", [b.input("x", [2, 4]), weight(b, 4)], 3),
    ],
    ["a convolution of 3 channels", conv(3, 8)],
    ["a convolution of 12 channels", conv(12, 8)],
    ["a convolution of 8 channels", conv(8, 12)],
    ["a convolution of 5 channels", conv(5, 8)],
    ["a convolution of 6 channels to 6", conv(6, 6)],
    ["a depthwise convolution", conv(12, 12, 12)],
    ["groups of 4 channels", conv(16, 16, 4)],
    ["groups of 4 channels, of 6 each", conv(12, 8, 2)],
    ["groups of 3 channels that are 6 together", conv(6, 6, 2)],
    [
      "a convolution with a weight that is no constant",
      (b) => {
        const x = b.input("x", [1, 6, 4, 4]);
        b.op("Conv", [x, b.input("weight", [8, 6, 1, 1])]);
      },
    ],
    [
      "a transposed convolution",
      (b) => {
        const x = b.input("x", [1, 8, 4, 4]);
        b.op("ConvTranspose", [x, weight(b, 8, 6, 1, 1)]);
      },
    ],
  ];
  it.each(good)("does not name %s", (_, write) => {
    expect(named(write)).toEqual([]);
  });
});

/** A convolution of x [1, 4, …] with this padding. */
function padded(pads: readonly number[], { groups = 1, stride = 1, kernel = 3, side = 5 } = {}): Graph {
  const b = new GraphBuilder();
  const along = (n: number) => Array.from({ length: pads.length / 2 }, () => n);
  const x = b.op("Neg", [b.input("x", [1, 4, ...along(side)])]);
  const y = b.op("Conv", [x, weight(b, 6, 4 / groups, ...along(kernel)), weight(b, 6)], {
    pads: ints(pads),
    group: int(groups),
    strides: ints(along(stride)),
  });
  b.output(b.op("Relu", [y]), { dims: [] });
  return b.graph;
}

function expectSame(before: Graph, after: Graph): Promise<void> {
  const x = randomArray(before.inputs[0].dims as number[], randomNumbers(3));
  return expectSameResults(before, after, { x });
}

const ops = (graph: Graph) => graph.nodes.map((node) => node.op);

describe("withPadsApart", () => {
  it.each([
    [[0, 1], {}],
    [[0, 0, 1, 1], {}],
    [[0, 0, 1, 1], { kernel: 2, side: 2 }],
    [[0, 0, 0, 2], {}],
    [[0, 0, 2, 0], { groups: 2 }],
    [[0, 0, 1, 2], { stride: 2 }],
    [[0, 0, 0, 1, 0, 2], {}],
  ] as const)("pads by %j in a separate node", async (pads, options) => {
    const graph = padded(pads, options);
    const after = withPadsApart(graph);
    expect(ops(after)).toEqual(["Neg", "Pad", "Conv", "Relu"]);
    expect(intsAttribute(after.nodes[2], "pads")).toEqual(pads.map(() => 0));
    expect(after.outputs).toEqual(graph.outputs);
    expect(graph.constants.size).toBe(2);
    await expectSame(graph, after);
  });

  it.each([[[0, 0, 0, 0]], [[1, 1, 1, 1]], [[1, 0, 1, 1]], [[0, 1, 1, 0]], [[1, 1, 0, 0]]])(
    "leaves the padding %j to the convolution",
    (pads) => {
      const graph = padded(pads);
      expect(withPadsApart(graph)).toBe(graph);
    },
  );

  it("pads each convolution by its own, and leaves the others", async () => {
    const b = new GraphBuilder();
    const w = weight(b, 4, 4, 2, 2);
    const y = [
      [0, 0, 1, 1],
      [1, 1, 0, 0],
      [0, 0, 0, 2],
    ].reduce((x, pads) => b.op("Conv", [x, w], { pads: ints(pads) }), b.input("x", [1, 4, 5, 5]));
    b.output(b.op("AveragePool", [y], { kernel_shape: ints([2, 2]), pads: ints([0, 0, 1, 1]) }), {
      dims: [],
    });
    const after = withPadsApart(b.graph);
    expect(ops(after)).toEqual(["Pad", "Conv", "Conv", "Pad", "Conv", "AveragePool"]);
    await expectSame(b.graph, after);
  });

  it("leaves a convolution that has no padding to itself", () => {
    const b = new GraphBuilder();
    b.output(b.op("Conv", [b.input("x", [1, 4, 5, 5]), weight(b, 4, 4, 2, 2)]), { dims: [] });
    expect(withPadsApart(b.graph)).toBe(b.graph);
  });
});
