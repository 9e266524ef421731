import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { toHalfPrecision } from "../../../src/onnx-vjp/fit/half-precision.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf, numbersOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { fromHalf, toHalf } from "../../../src/onnx-vjp/graph/half.ts";
import { float, type Graph, int, ints, type Node, text } from "../../../src/onnx-vjp/graph/ir.ts";
import type { Feeds, Runtime } from "../../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { elementTypes, roundingRuntime } from "../../support/half-rounding.ts";
import { tensorOf } from "../../support/pullback.ts";

const runtime = nodeRuntime({ threads: 1 });

interface Scene {
  readonly b: GraphBuilder;
  /** Random numbers as a constant. */
  readonly weight: (...dims: number[]) => string;
  /** A product of rows of 4 numbers. */
  readonly product: (x: string) => string;
}

function scene(): Scene {
  const random = randomNumbers(1);
  const b = new GraphBuilder();
  const weight = (...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
  return { b, weight, product: (x) => b.op("MatMul", [x, weight(4, 4)]) };
}

/** A graph of x [2, 4]; its outputs are what `write` gives. */
function graphOf(write: (x: string, s: Scene) => string | readonly string[]): Graph {
  const s = scene();
  for (const value of [write(s.b.input("x", [2, 4]), s)].flat()) s.b.output(value, { dims: [] });
  return s.b.graph;
}

/** A node with the element types of its inputs and outputs, in the form "float16 float16 -> float32". */
async function typed(graph: Graph): Promise<(node: Node) => string> {
  const type = await elementTypes(graph);
  const names = (values: readonly string[]) => values.map((value) => type(value) ?? "none").join(" ");
  return ({ inputs, outputs }) => `${names(inputs)} -> ${names(outputs)}`;
}

/** The types of all nodes of an operator in a graph's half-precision form. */
async function typesOf(op: string, graph: Graph): Promise<string[]> {
  const show = await typed(graph);
  return graph.nodes.filter((node) => node.op === op).map(show);
}

const half = (graph: Graph) => toHalfPrecision(graph).graph;
const casts = (graph: Graph) => graph.nodes.filter((node) => node.op === "Cast");

async function run(on: Runtime, graph: Graph, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await on.session(graph);
  const results = await session.run(feeds);
  await session.release();
  return results;
}

describe("products", () => {
  const image = [1, 4, 5, 5];
  const products: [string, (s: Scene) => string][] = [
    ["Conv", ({ b, weight }) => b.op("Conv", [b.input("x", image), weight(3, 4, 3, 3), weight(3)])],
    [
      "ConvTranspose",
      ({ b, weight }) => b.op("ConvTranspose", [b.input("x", image), weight(4, 3, 2, 2), weight(3)]),
    ],
    [
      "Einsum",
      ({ b, weight }) =>
        b.op("Einsum", [b.input("x", [2, 4]), weight(4, 3), weight(3)], { equation: text("ij,jk,k->ik") }),
    ],
    [
      "FusedMatMul",
      ({ b, weight }) =>
        b.op(
          "FusedMatMul",
          [b.input("x", [2, 4]), b.op("Neg", [weight(3, 4)])],
          { transB: int(1) },
          "com.microsoft",
        ),
    ],
    ["Gemm", ({ b, weight }) => b.op("Gemm", [b.input("x", [2, 4]), weight(4, 3), weight(3)])],
    ["MatMul", ({ b, weight }) => b.op("MatMul", [b.input("x", [2, 4]), weight(4, 3)])],
  ];

  it.each(products)("%s is of half precision, and the graph's output is not", async (op, write) => {
    const s = scene();
    s.b.output(write(s), { dims: [] }, "y");
    const graph = half(s.b.graph);
    for (const types of await typesOf(op, graph)) expect(types).toMatch(/^float16( float16)+ -> float16$/);
    expect(graph.inputs).toEqual(s.b.graph.inputs);
    expect(graph.outputs).toEqual([{ name: "y", dtype: "float32", dims: [] }]);
    expect((await elementTypes(graph))("y")).toBe("float32");
  });

  it("leaves integers' products alone", async () => {
    const b = new GraphBuilder();
    const y = b.op("MatMul", [b.input("x", [2, 2], "int32"), b.constant(constantOf("int32", [2], [1, 2]))]);
    b.output(y, { dims: [2], dtype: "int32" });
    expect(half(b.graph).nodes).toEqual(b.graph.nodes);
  });

  it("keeps the name of an output that other nodes read", async () => {
    const graph = graphOf((x, { b, product }) => {
      const y = product(x);
      return [y, product(b.op("Relu", [y]))];
    });
    const after = half(graph);
    expect(after.outputs).toEqual(graph.outputs);
    expect(await typesOf("Relu", after)).toEqual(["float16 -> float16"]);
    const feeds = { x: tensorOf(randomArray([2, 4], randomNumbers(2))) };
    const [expected, actual] = [await run(runtime, graph, feeds), await run(roundingRuntime, after, feeds)];
    for (const { name } of graph.outputs) {
      const [now, before] = [actual[name].data as Float32Array, expected[name].data as Float32Array];
      expect(relativeError(now, before)).toBeLessThan(5e-3);
    }
  });
});

describe("what lies between products", () => {
  it("follows them, from the first one on", async () => {
    const graph = half(
      graphOf((x, { b, weight, product }) => {
        const normalized = b.op("Div", [b.op("Sub", [x, weight(4)]), weight(4)]);
        const y = b.op("Sub", [product(normalized), weight(4)]);
        return product(b.op("Add", [b.op("Relu", [y]), normalized]));
      }),
    );
    expect(await typesOf("Sub", graph)).toEqual(["float32 float32 -> float32", "float16 float16 -> float16"]);
    expect(await typesOf("Div", graph)).toEqual(["float32 float32 -> float32"]);
    expect(await typesOf("Relu", graph)).toEqual(["float16 -> float16"]);
    expect(await typesOf("Add", graph)).toEqual(["float16 float16 -> float16"]);
    // What is normalized is read by a product and by the sum: cast once. The output is the other cast.
    expect(casts(graph)).toHaveLength(2);
  });

  it("is float32 where there is no product", () => {
    const graph = graphOf((x, { b, weight }) => b.op("Relu", [b.op("Add", [x, weight(4)])]));
    const { nodes, constants } = half(graph);
    expect(nodes).toEqual(graph.nodes);
    expect(constants).toEqual(graph.constants);
  });

  const sums = ["ReduceMean", "ReduceSum", "ReduceL2", "ReduceMax", "Exp", "Log", "Sqrt", "Reciprocal"];
  it.each(sums)("%s is computed in float32, and what comes after it in half precision", async (op) => {
    const graph = half(
      graphOf((x, { b, product }) => {
        const y = b.op("Abs", [product(x)]);
        const inputs = op.startsWith("Reduce") ? [y, b.ints([1])] : [y];
        return product(b.op("Mul", [b.op(op, inputs), y]));
      }),
    );
    const [types] = await typesOf(op, graph);
    expect(types).toMatch(/^float32( int64)? -> float32$/);
    expect(await typesOf("Mul", graph)).toEqual(["float16 float16 -> float16"]);
    // Of the input, into the sum, out of it, and of the output.
    expect(casts(graph)).toHaveLength(4);
  });

  it("keeps more operators in float32 where it is asked to", async () => {
    const graph = graphOf((x, { b, product }) => product(b.op("Softmax", [product(x)])));
    expect(await typesOf("Softmax", half(graph))).toEqual(["float16 -> float16"]);
    const wide = toHalfPrecision(graph, { wide: new Set(["Softmax"]) }).graph;
    expect(await typesOf("Softmax", wide)).toEqual(["float32 -> float32"]);
    expect(await typesOf("MatMul", wide)).toEqual(Array(2).fill("float16 float16 -> float16"));
  });

  it("casts a value once that is needed in both types", async () => {
    const graph = half(
      graphOf((x, { b, product }) => {
        const y = b.op("Relu", [product(x)]);
        const wide = [b.op("Exp", [y]), b.op("Sqrt", [y]), b.op("ReduceSum", [y, b.ints([1])])];
        const sum = b.op("Sum", wide);
        return [product(x), product(sum), product(sum), b.op("Add", [y, y])];
      }),
    );
    const read = casts(graph).map((node) => node.inputs[0]);
    expect(new Set(read).size).toBe(read.length);
    // x, y, the sum, and four outputs.
    expect(read).toHaveLength(7);
    expect(await typesOf("Sum", graph)).toEqual(["float32 float32 float32 -> float32"]);
    expect(await typesOf("MatMul", graph)).toEqual(Array(4).fill("float16 float16 -> float16"));
  });

  it("gives a LayerNormalization's mean and inverse deviation in float32", async () => {
    const graph = half(
      graphOf((x, { b, weight, product }) => {
        const [y, mean, deviation] = b.ops("LayerNormalization", [product(x), weight(4), weight(4)], 3);
        return [b.op("Add", [y!, mean!]), b.op("Mul", [mean!, deviation!])];
      }),
    );
    expect(await typesOf("LayerNormalization", graph)).toEqual([
      "float16 float16 float16 -> float16 float32 float32",
    ]);
    expect(await typesOf("Add", graph)).toEqual(["float16 float16 -> float16"]);
    expect(await typesOf("Mul", graph)).toEqual(["float32 float32 -> float32"]);
  });

  it("leaves positions and shapes the integers that they are", async () => {
    const s = scene();
    const x = s.b.input("x", [1, 2, 6, 6]);
    const y = s.b.op("Conv", [x, s.weight(4, 2, 1, 1)]);
    const [pooled, places] = s.b.ops("MaxPool", [y], 2, { kernel_shape: ints([2, 2]) });
    const flat = s.b.op("Reshape", [places!, s.b.op("Shape", [pooled!])]);
    s.b.output(flat, { dims: [], dtype: "int64" });
    const largest = s.b.op("ArgMax", [x]);
    for (const index of [largest, s.b.reshape(largest, [-1])]) {
      s.b.output(s.b.op("Gather", [pooled!, index]), { dims: [] });
    }
    const graph = half(s.b.graph);
    expect(await typesOf("MaxPool", graph)).toEqual(["float16 -> float16 int64"]);
    expect(await typesOf("Reshape", graph)).toEqual(Array(2).fill("int64 int64 -> int64"));
    expect(await typesOf("Gather", graph)).toEqual(Array(2).fill("float16 int64 -> float16"));
    expect(graph.outputs).toEqual(s.b.graph.outputs);
  });

  it("resizes in half precision by scales that are not rounded", async () => {
    const scales = [1, 1, 1.0001, 7 / 3];
    const s = scene();
    const y = s.b.op("Conv", [s.b.input("x", [1, 2, 6, 6]), s.weight(4, 2, 1, 1)]);
    s.b.output(s.b.op("Resize", [y, "", s.b.floats([4], scales)], { mode: text("linear") }), { dims: [] });
    const graph = half(s.b.graph);
    expect(await typesOf("Resize", graph)).toEqual(["float16 none float32 -> float16"]);
    const resize = graph.nodes.find((node) => node.op === "Resize")!;
    expect(Array.from(numbersOf(graph.constants.get(resize.inputs[2])!))).toEqual(scales.map(Math.fround));
  });

  it("divides in float32 by what is float32", async () => {
    const graph = half(
      graphOf((x, { b, weight, product }) => {
        const y = product(x);
        const length = b.op("Sqrt", [b.op("ReduceSum", [b.op("Mul", [y, y]), b.ints([1])])]);
        return [
          b.op("Div", [y, length]),
          b.op("Div", [length, y]),
          b.op("Div", [y, b.op("Add", [y, weight(4)])]),
        ];
      }),
    );
    const [float32, float16] = ["float32 float32 -> float32", "float16 float16 -> float16"];
    expect(await typesOf("Div", graph)).toEqual([float32, float32, float16]);
  });

  it("makes a mask a factor of half precision, and indices float32", async () => {
    const graph = half(
      graphOf((x, { b, product }) => {
        const isPositive = b.op("And", [b.op("Greater", [x, b.scalar(0)]), b.op("Less", [x, b.scalar(2)])]);
        const mask = b.op("Cast", [isPositive], { to: int(1) });
        const places = b.op("Cast", [b.op("ArgMax", [x], { axis: int(1) })], { to: int(1) });
        return [b.op("Mul", [product(x), mask]), b.op("Sqrt", [places])];
      }),
    );
    expect(await typesOf("Greater", graph)).toEqual(["float32 float32 -> bool"]);
    expect(await typesOf("Mul", graph)).toEqual(["float16 float16 -> float16"]);
    expect(await typesOf("Sqrt", graph)).toEqual(["float32 -> float32"]);
    expect(await typesOf("Cast", graph)).toEqual([
      "bool -> float16",
      "int64 -> float32",
      "float32 -> float16",
      "float16 -> float32",
    ]);
  });

  it("keeps a mask that is an input, and casts that say what a value is already", async () => {
    const { b, product } = scene();
    const mask = b.op("Cast", [b.input("mask", [2, 4], "bool")], { to: int(1) });
    const y = b.op("Cast", [product(b.input("x", [2, 4]))], { to: int(1) });
    b.output(product(b.op("Mul", [y, mask])), { dims: [] });
    const graph = half(b.graph);
    expect(await typesOf("Mul", graph)).toEqual(["float16 float16 -> float16"]);
    expect(casts(graph)).toHaveLength(4);
  });
});

describe("constants", () => {
  /** The constants that a graph's Add and Where nodes read, where `values` are added to a product. */
  async function constantsAfter(values: readonly number[]): Promise<number[]> {
    const { b, product } = scene();
    const y = product(b.input("x", [2, 4]));
    b.output(b.op("Add", [y, b.floats([values.length, 1, 1], values)]), { dims: [] });
    const graph = half(b.graph);
    const constant = graph.constants.get(graph.nodes.find((node) => node.op === "Add")!.inputs[1])!;
    expect(constant.dims).toEqual([values.length, 1, 1]);
    expect(constant.dtype).toBe("float16");
    return Array.from(numbersOf(constant));
  }

  it("are rounded to the nearest number", async () => {
    const values = [1 / 3, 1 + 2 ** -11, 1 + 3 * 2 ** -11, -0.1, 2 ** -24, 2 ** -26, 0];
    const expected = [0.333251953125, 1, 1 + 2 ** -9, -0.0999755859375, 2 ** -24, 0, 0];
    expect(await constantsAfter(values)).toEqual(expected);
  });

  it("of a mask become the lowest number, not minus infinity", async () => {
    const values = [Number.NEGATIVE_INFINITY, -3e38, -65520, -65519, 0, 65519, 1e9, Number.POSITIVE_INFINITY];
    const expected = [-65504, -65504, -65504, -65504, 0, 65504, 65504, 65504];
    expect(await constantsAfter(values)).toEqual(expected);
    expect(await constantsAfter([Number.NaN])).toEqual([Number.NaN]);
  });

  it("are rounded once for all that read them, and stay as they are for the others", () => {
    const graph = half(
      graphOf((x, { b, weight }) => {
        const w = weight(4, 4);
        const y = b.op("MatMul", [b.op("Add", [b.op("Neg", [x]), w]), w]);
        return b.op("Add", [b.op("MatMul", [y, w]), w]);
      }),
    );
    const types = [...graph.constants.values()].map(({ dtype }) => dtype).sort();
    expect(types).toEqual(["float16", "float32"]);
  });

  it("that nothing reads in float32 are not kept in it, nor the integers rounded", () => {
    const graph = half(graphOf((x, { b, product }) => b.reshape(product(x), [4, 2])));
    const types = [...graph.constants.values()].map(({ dtype }) => dtype).sort();
    expect(types).toEqual(["float16", "int64"]);
  });
});

describe("values for another graph", () => {
  /** A first graph of three values to hand over, one of which is float32, and a second one that takes them. */
  function pair() {
    const { b, weight } = scene();
    const y = b.named("MatMul", [b.input("x", [2, 4]), weight(4, 4)], "y");
    b.named("ReduceMean", [y, b.ints([1])], "mean");
    b.named("Relu", [y], "feature");
    for (const name of ["y", "mean", "feature"]) b.output(name, { dims: [2, name === "mean" ? 1 : 4] });
    const other = scene();
    other.b.input("y", [2, 4]);
    other.b.input("mean", [2, 1]);
    const centered = other.b.op("Sub", [other.b.op("Relu", ["y"]), "mean"]);
    other.b.output(other.product(centered), { dims: [2, 4] }, "z");
    return { first: b.graph, second: other.b.graph };
  }

  it("are float16 where they are computed so, the others float32", async () => {
    const { first, second } = pair();
    const { graph, halves } = toHalfPrecision(first, { handOver: new Set(["y", "mean"]) });
    expect([...halves]).toEqual(["y"]);
    expect(graph.outputs.map(({ name, dtype }) => [name, dtype])).toEqual([
      ["y", "float16"],
      ["mean", "float32"],
      ["feature", "float32"],
    ]);
    expect(graph.outputs.map(({ dims }) => dims)).toEqual(first.outputs.map(({ dims }) => dims));
    const type = await elementTypes(graph);
    expect(["y", "mean", "feature"].map(type)).toEqual(["float16", "float32", "float32"]);

    const taken = toHalfPrecision(second, { handed: halves });
    expect(taken.halves.size).toBe(0);
    expect(taken.graph.inputs).toEqual([
      { name: "y", dtype: "float16", dims: [2, 4] },
      { name: "mean", dtype: "float32", dims: [2, 1] },
    ]);
    expect(await typesOf("Relu", taken.graph)).toEqual(["float16 -> float16"]);
    // The mean and the output.
    expect(casts(taken.graph)).toHaveLength(2);
  });

  it("are what the other graph computes on", async () => {
    const { first, second } = pair();
    const x = tensorOf(randomArray([2, 4], randomNumbers(7)));
    const { y, mean } = await run(runtime, first, { x });
    const expected = (await run(runtime, second, { y: y!, mean: mean! })).z!.data as Float32Array;
    const { graph, halves } = toHalfPrecision(first, { handOver: new Set(["y", "mean"]) });
    const handed = await run(runtime, graph, { x });
    expect(handed.y!.type).toBe("float16");
    const next = toHalfPrecision(second, { handed: halves }).graph;
    const { z } = await run(runtime, next, { y: handed.y!, mean: handed.mean! });
    const error = relativeError(z!.data as Float32Array, expected);
    expect(error).toBeLessThan(5e-3);
    expect(error).toBeGreaterThan(1e-5);
  });

  it("are none where no other graph takes them", () => {
    const { first } = pair();
    const { graph, halves } = toHalfPrecision(first);
    expect(halves.size).toBe(0);
    expect(graph.outputs).toEqual(first.outputs);
  });
});

describe("the rounding that networks are tested with", () => {
  it("is that of half precision", async () => {
    const b = new GraphBuilder();
    const narrow = b.op("Cast", [b.input("x", ["n"])], { to: int(10) });
    b.output(b.op("Cast", [narrow], { to: int(1) }), { dims: ["n"] }, "y");
    const random = randomNumbers(1);
    const sizes = Float32Array.from({ length: 4000 }, () => random() * 2 ** (25 * random()));
    const special = [
      0,
      2 ** -25,
      3 * 2 ** -25,
      65504,
      65519.99,
      65520,
      1e30,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ];
    const x = Float32Array.of(...sizes, ...special, ...special.map((value) => -value));
    const { y } = await run(roundingRuntime, b.graph, { x: new Tensor("float32", x, [x.length]) });
    const expected = new Float32Array(x.length);
    fromHalf(toHalf(x), expected);
    // The sign of zero aside.
    expect((y!.data as Float32Array).map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
  });
});

describe("a network in half precision", () => {
  function network(write: (image: string, s: Scene) => string): Graph {
    const s = scene();
    s.b.output(write(s.b.input("image", [2, 3, 8, 8]), s), { dims: [] }, "feature");
    return s.b.graph;
  }
  const head = (x: string, { b, weight }: Scene): string => {
    const y = b.op("LayerNormalization", [x, weight(16), weight(16)], { epsilon: float(1e-6) });
    return b.op("MatMul", [y, weight(16, 5)]);
  };
  const networks: [string, (image: string, s: Scene) => string][] = [
    [
      "of a convolution",
      (image, s) => {
        const strides = ints([4, 4]);
        const y = s.b.op("Conv", [image, s.weight(16, 3, 4, 4), s.weight(16)], { strides });
        return head(s.b.transpose(s.b.reshape(s.b.op("Relu", [y]), [2, 16, 4]), [0, 2, 1]), s);
      },
    ],
    [
      "of a product of rows",
      (image, s) => {
        const y = s.b.op("MatMul", [s.b.reshape(image, [2, 12, 16]), s.weight(16, 16)]);
        return head(s.b.op("Gelu", [s.b.op("Add", [y, s.weight(16)])], {}, "com.microsoft"), s);
      },
    ],
  ];

  it.each(networks)("%s agrees with float32 to its digits", async (_, write) => {
    const graph = network(write);
    const feeds = { image: tensorOf(randomArray([2, 3, 8, 8], randomNumbers(3))) };
    const expected = (await run(runtime, graph, feeds)).feature!;
    for (const on of [runtime, roundingRuntime]) {
      const { feature } = await run(on, half(graph), feeds);
      expect(feature!.dims).toEqual(expected.dims);
      const error = relativeError(feature!.data as Float32Array, expected.data as Float32Array);
      expect(error).toBeLessThan(5e-3);
      expect(error).toBeGreaterThan(1e-5);
    }
  });
});

describe("constants beyond half precision", () => {
  const constant = (b: GraphBuilder, value: number) => b.floats([1], Float32Array.of(value));
  const cases: [string, (x: string, s: Scene) => string][] = [
    ["a factor that is too large", (x, { b, product }) => b.op("Mul", [product(x), constant(b, 1e6)])],
    ["a factor that is too small", (x, { b, product }) => b.op("Mul", [product(x), constant(b, 1e-8)])],
    ["a divisor that is too small", (x, { b, product }) => b.op("Div", [product(x), constant(b, 1e-8)])],
    [
      "an epsilon",
      (x, { b, product }) => {
        const none = b.op("Mul", [product(x), constant(b, 0)]);
        return b.op("Div", [constant(b, 1), b.op("Add", [none, constant(b, 1e-6)])]);
      },
    ],
    [
      "weights that are all too small",
      (x, { b }) => {
        const tiny = randomArray([4, 4], randomNumbers(2)).data.map((value) => 1e-6 * value);
        return b.op("Mul", [b.op("MatMul", [x, b.floats([4, 4], tiny)]), constant(b, 1e6)]);
      },
    ],
  ];

  it.each(cases)("%s keeps its operator in float32", async (_, write) => {
    const graph = graphOf((x, s) => s.b.op("Neg", [write(x, s)]));
    const feeds = { x: tensorOf(randomArray([2, 4], randomNumbers(3))) };
    const [output] = graph.outputs;
    const expected = (await run(runtime, graph, feeds))[output!.name].data as Float32Array;
    const found = (await run(roundingRuntime, half(graph), feeds))[output!.name].data as Float32Array;
    expect(expected.every(Number.isFinite)).toBe(true);
    // What comes after may leave half precision's range itself; what is within it is right.
    if (expected.every((value) => Math.abs(value) < 6e4 && Math.abs(value) > 1e-4)) {
      expect(relativeError(found, expected)).toBeLessThan(5e-3);
    } else expect(found.every((value, i) => Math.sign(value) === Math.sign(expected[i]))).toBe(true);
  });

  it("take masks as the lowest number", async () => {
    const graph = graphOf((x, { b, product }) => {
      const mask = b.floats([4], Float32Array.of(0, -3e38, 0, Number.NEGATIVE_INFINITY));
      return b.op("Softmax", [b.op("Add", [product(x), mask])]);
    });
    expect(await typesOf("Add", half(graph))).toEqual(["float16 float16 -> float16"]);
  });
});

describe("values of other kinds", () => {
  it.each(["IsNaN", "IsInf"])("%s makes a mask", async (op) => {
    const graph = graphOf((x, { b, product }) => {
      const y = product(x);
      return b.op("Where", [b.op(op, [b.op("Exp", [y])]), b.floats([1], Float32Array.of(0)), y]);
    });
    expect(await typesOf("Where", half(graph))).toEqual(["bool float16 float16 -> float16"]);
  });

  it("an output that is a constant stays", async () => {
    const graph = graphOf((x, { product, weight }) => [product(x), weight(2, 2)]);
    const feeds = { x: tensorOf(randomArray([2, 4], randomNumbers(3))) };
    const results = await run(runtime, half(graph), feeds);
    expect(results[graph.outputs[1]!.name].dims).toEqual([2, 2]);
  });
});
