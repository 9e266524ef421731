import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exposeStatistics } from "../../../src/onnx-vjp/compile/expose-statistics.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { float, type Graph, int, type TracedGraph } from "../../../src/onnx-vjp/graph/ir.ts";
import { foldLayerNormalization } from "../../../src/onnx-vjp/prepare/fold-layernorm.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../../src/onnx-vjp/vjp/derive.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { resultsOf } from "../../support/same-results.ts";

const runtime = nodeRuntime({ threads: 1 });
const width = 6;

interface Scene {
  readonly b: GraphBuilder;
  readonly constant: (...dims: number[]) => string;
  readonly norm: (x: string, bias?: boolean) => string;
}

/** A graph of x [2, 3, 6]; outputs are what `write` gives. */
function graphOf(write: (x: string, scene: Scene) => string | readonly string[], seed = 1): Graph {
  const random = randomNumbers(seed);
  const b = new GraphBuilder();
  const constant = (...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
  const norm = (x: string, bias = true) =>
    b.op("LayerNormalization", [x, constant(width), ...(bias ? [constant(width)] : [])], {
      epsilon: float(1e-3),
    });
  const made = [write(b.input("x", [2, 3, width]), { b, constant, norm })].flat();
  for (const value of made) b.output(value, { dims: ["rows", "columns", "more"] });
  return b.graph;
}

/** Folds a graph and asserts that values and gradient are what they were. */
async function folded(graph: Graph): Promise<TracedGraph> {
  const dims = [2, 3, width];
  const rank = (name: string) => traced.types.get(name)!.dims;
  const traced = await trace(runtime, graph, { x: dims });
  const outputs = graph.outputs.map((output) => ({ ...output, dims: rank(output.name) }));
  const before = { ...traced, outputs };
  const after = foldLayerNormalization(before);
  const random = randomNumbers(5);
  const x = randomArray(dims, random);
  const [old, now] = [await resultsOf(before, { x }), await resultsOf(after, { x })];
  const names = outputs.map(({ name }) => name);
  const cotangents = names.map((name) => randomArray(rank(name), random));
  const gradientOf = async (g: TracedGraph) =>
    (await pullbackOf({ ...g, outputs }, { x }, ["x"], cotangents)).gradients[0];
  for (const [i, { dims, data }] of old.entries()) {
    expect(now[i].dims).toEqual(dims);
    expect(relativeError(now[i].data, data)).toBeLessThan(2e-6);
  }
  expect(relativeError(await gradientOf(after), await gradientOf(before))).toBeLessThan(1e-5);
  for (const node of after.nodes) {
    for (const output of node.outputs) expect(after.types.has(output)).toBe(true);
  }
  return after;
}

const ops = (graph: Graph) => graph.nodes.map(({ op }) => op);
const normOf = (graph: TracedGraph) => graph.nodes.find(({ op }) => op === "LayerNormalization")!;
const isPlain = (graph: TracedGraph) => normOf(graph).inputs.length === 2;
/** Means that the pullback takes: one of a plain normalization between centered weights, else two. */
function means(graph: TracedGraph): number {
  const { graph: joint, forwardNodes } = derive(
    exposeStatistics(graph),
    ["x"],
    graph.outputs.map((o) => o.name),
  );
  return ops(joint)
    .slice(forwardNodes)
    .filter((op) => op === "ReduceMean").length;
}

describe("foldLayerNormalization", () => {
  it("folds into every product that reads it, with and without biases, behind reshapes", async () => {
    const cases = fc.record({
      bias: fc.boolean(),
      products: fc.array(
        fc.record({
          columns: fc.integer({ min: 1, max: 5 }),
          form: fc.constantFrom("MatMul", "Gemm", "Gemm transposed"),
          own: fc.boolean(),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ bias, products, seed }) => {
        const graph = graphOf((x, { b, constant, norm }) => {
          const y = norm(x, bias);
          const rows = b.reshape(y, [6, width]);
          return products.map(({ columns, form, own }) => {
            if (form === "MatMul") {
              const product = b.op("MatMul", [y, constant(width, columns)]);
              return own ? b.op("Add", [product, constant(columns)]) : product;
            }
            const transposed = form !== "Gemm";
            const weight = transposed ? constant(columns, width) : constant(width, columns);
            const inputs = [rows, weight, ...(own ? [constant(columns)] : [])];
            return b.op("Gemm", inputs, { transB: int(transposed ? 1 : 0) });
          });
        }, seed);
        const after = await folded(graph);
        expect(isPlain(after)).toBe(true);
        expect(means(after)).toBe(1);
      }),
      { numRuns: 25 },
    );
  });

  it("keeps the names of values that stay whole, and adds a bias where there was none", async () => {
    const graph = graphOf((x, { b, constant, norm }) => b.op("MatMul", [norm(x), constant(width, 4)]));
    const after = await folded(graph);
    expect(ops(after)).toEqual(["LayerNormalization", "MatMul", "Add"]);
    expect(after.nodes.at(-1)!.outputs).toEqual([graph.outputs[0].name]);
    expect(after.nodes[0].outputs).not.toEqual(graph.nodes[0].outputs);
  });

  it("is centered for sums of products and for products of some tokens alone", async () => {
    const graph = graphOf((x, { b, constant, norm }) => {
      const y = norm(x);
      const first = b.op("Slice", [y, b.ints([0]), b.ints([1]), b.ints([1])]);
      return [b.op("MatMul", [first, constant(width, 2)]), b.op("MatMul", [y, constant(width, 3)])];
    });
    // A slice of the tokens is no product: that is for narrow, which comes after.
    const after = await folded(graph);
    expect(isPlain(after)).toBe(false);
    const narrowed = graphOf((x, { b }) => {
      const ones = b.floats([width], new Float32Array(width).fill(1));
      const y = b.op("LayerNormalization", [x, ones]);
      const centeredWeight = (columns: number) => {
        const data = randomArray([width, columns], randomNumbers(columns)).data;
        for (let j = 0; j < columns; j++) {
          let mean = 0;
          for (let i = 0; i < width; i++) mean += data[i * columns + j] / width;
          for (let i = 0; i < width; i++) data[i * columns + j] -= mean;
        }
        return b.floats([width, columns], data);
      };
      const first = b.op("Slice", [y, b.ints([0]), b.ints([1]), b.ints([1])]);
      return [b.op("MatMul", [first, centeredWeight(2)]), b.op("MatMul", [y, centeredWeight(3)])];
    });
    const traced = await trace(runtime, narrowed, { x: [2, 3, width] });
    expect(means(traced)).toBe(1);
  });

  it.each<[string, (x: string, scene: Scene) => string | readonly string[]]>([
    [
      "leaves the graph",
      (x, { b, constant, norm }) => {
        const y = norm(x);
        return [y, b.op("MatMul", [y, constant(width, 2)])];
      },
    ],
    [
      "is added to, too",
      (x, { b, constant, norm }) => {
        const y = norm(x);
        return [b.op("Add", [y, x]), b.op("MatMul", [y, constant(width, 2)])];
      },
    ],
    [
      "is reshaped to other rows",
      (x, { b, constant, norm }) =>
        b.op("MatMul", [b.reshape(norm(x), [2, 3 * width]), constant(3 * width, 2)]),
    ],
    [
      "meets a product that depends on the image",
      (x, { b, norm }) => b.op("MatMul", [norm(x), b.transpose(x, [0, 2, 1])]),
    ],
    ["is the right side", (x, { b, constant, norm }) => b.op("MatMul", [constant(2, 3), norm(x)])],
    [
      "meets a product with a factor",
      (x, { b, constant, norm }) =>
        b.op("Gemm", [b.reshape(norm(x), [6, width]), constant(width, 2)], { alpha: float(2) }),
    ],
    [
      "meets a Gemm whose bias is a matrix",
      (x, { b, constant, norm }) =>
        b.op("Gemm", [b.reshape(norm(x), [6, width]), constant(width, 2), constant(6, 2)]),
    ],
    [
      "is over two axes",
      (x, { b, constant }) => {
        const parameters = [constant(3, width), constant(3, width)];
        const y = b.op("LayerNormalization", [x, ...parameters], { axis: int(1) });
        return b.op("MatMul", [y, constant(width, 2)]);
      },
    ],
  ])("stays as it is where it %s", async (_, write) => {
    expect(isPlain(await folded(graphOf(write)))).toBe(false);
  });

  it("does not take rows for centered that are not", async () => {
    const graph = graphOf((x, { b, constant }) => {
      const ones = b.floats([width], new Float32Array(width).fill(1));
      return b.op("MatMul", [b.op("LayerNormalization", [x, ones]), constant(width, 3)]);
    });
    expect(means(await trace(runtime, graph, { x: [2, 3, width] }))).toBe(2);
  });

  it("folds a weight once for all batches", async () => {
    const graph = graphOf((x, { b, constant, norm }) => b.op("MatMul", [norm(x), constant(width, 2)]));
    const traced = await trace(runtime, graph, { x: [2, 3, width] });
    const weightOf = (g: TracedGraph) =>
      g.constants.get(g.nodes.find(({ op }) => op === "MatMul")!.inputs[1]);
    expect(weightOf(foldLayerNormalization(traced))).toBe(weightOf(foldLayerNormalization(traced)));
  });
});
