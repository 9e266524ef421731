import { describe, expect, it } from "vitest";
import { withoutFlattening } from "../../../src/onnx-vjp/fit/flat-products.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, float, type Graph, int, intAttribute } from "../../../src/onnx-vjp/graph/ir.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers } from "../../support/check-rule.ts";
import { expectSameResults } from "../../support/same-results.ts";

const runtime = nodeRuntime({ threads: 1 });
const transposed: Attributes = { transB: int(1) };

/** A graph of x, made by `write`, and the same without flattening; both compute the same. */
async function flattened(
  dims: readonly number[],
  write: (b: GraphBuilder, x: string) => string | readonly string[],
): Promise<{ before: Graph; after: Graph }> {
  const b = new GraphBuilder();
  for (const value of [write(b, b.input("x", dims))].flat()) b.output(value, { dims: [] });
  const before = await trace(runtime, b.graph, { x: dims });
  const after = withoutFlattening(before, (value) => before.types.get(value)?.dims);
  await expectSameResults(before, after, { x: randomArray(dims, randomNumbers(9)) });
  return { before, after };
}

const weight = (b: GraphBuilder, ...dims: number[]) =>
  b.floats(dims, randomArray(dims, randomNumbers(1)).data);
const ops = (graph: Graph) => graph.nodes.map((node) => node.op);

describe("withoutFlattening", () => {
  it.each([
    [
      [2, 4],
      [2, 5],
    ],
    [
      [2, 3, 4],
      [2, 3, 5],
    ],
    [
      [2, 1, 3, 4],
      [2, 1, 3, 4],
    ],
  ])("makes one product of a stack of shape %j", async (from, to) => {
    const [columns, inner] = [to.at(-1)!, from.at(-1)!];
    const { before, after } = await flattened(from, (b, x) => {
      const rows = b.reshape(b.op("Neg", [x]), [-1, inner]);
      const product = b.op("Gemm", [rows, weight(b, columns, inner)], transposed);
      return b.op("Relu", [b.reshape(product, to)]);
    });
    expect(ops(before)).toEqual(["Neg", "Reshape", "Gemm", "Reshape", "Relu"]);
    expect(ops(after)).toEqual(["Neg", "FusedMatMul", "Relu"]);
    const product = after.nodes[1];
    expect(product.domain).toBe("com.microsoft");
    expect(intAttribute(product, "transB", 0)).toBe(1);
    expect(product.outputs).toEqual(before.nodes[3].outputs);
    // The shapes are not needed any more.
    expect(after.constants.size).toBe(1);
  });

  it("follows products of products, and leaves rows that others read", async () => {
    const { after } = await flattened([2, 3, 4], (b, x) => {
      const rows = b.reshape(x, [6, 4]);
      const first = b.op("Gemm", [rows, weight(b, 5, 4)], transposed);
      const again = b.reshape(b.op("Tanh", [b.reshape(first, [2, 3, 5])]), [6, 5]);
      const second = b.op("Gemm", [again, weight(b, 2, 5)], transposed);
      return [b.reshape(second, [2, 3, 2]), b.op("Exp", [rows])];
    });
    expect(ops(after)).toEqual(["Reshape", "FusedMatMul", "Tanh", "FusedMatMul", "Exp"]);
  });

  const product = (b: GraphBuilder, x: string, others: readonly string[] = [], attributes = transposed) =>
    b.op("Gemm", [b.reshape(x, [6, 4]), weight(b, 5, 4), ...others], attributes);

  const kept: [string, (b: GraphBuilder, x: string) => string | readonly string[]][] = [
    ["whose rows are stacked otherwise", (b, x) => b.reshape(product(b, x), [3, 2, 5])],
    ["whose result is a stack of a stack", (b, x) => b.reshape(product(b, x), [2, 1, 3, 5])],
    ["whose result has one more axis", (b, x) => b.reshape(product(b, x), [2, 3, 1, 5])],
    ["whose result is not stacked", (b, x) => b.reshape(product(b, x), [6, 5])],
    ["whose columns are mixed with its rows", (b, x) => b.reshape(product(b, x), [2, 5, 3])],
    [
      "of rows that are not those of the stack",
      (b, x) => b.reshape(b.op("Gemm", [b.reshape(x, [4, 6]), weight(b, 3, 6)], transposed), [2, 3, 2]),
    ],
    [
      "that another node reads",
      (b, x) => {
        const y = product(b, x);
        return [b.reshape(y, [2, 3, 5]), b.op("Relu", [y])];
      },
    ],
    [
      "that is stacked twice",
      (b, x) => {
        const y = product(b, x);
        return [b.reshape(y, [2, 3, 5]), b.reshape(y, [3, 2, 5])];
      },
    ],
    [
      "that is an output",
      (b, x) => {
        const y = product(b, x);
        return [y, b.reshape(y, [2, 3, 5])];
      },
    ],
    ["with a bias", (b, x) => b.reshape(product(b, x, [weight(b, 5)]), [2, 3, 5])],
    ["with a factor", (b, x) => b.reshape(product(b, x, [], { ...transposed, alpha: float(2) }), [2, 3, 5])],
    [
      "with transposed rows",
      (b, x) => {
        const y = b.op("Gemm", [b.reshape(x, [4, 6]), weight(b, 5, 4)], { ...transposed, transA: int(1) });
        return b.reshape(y, [2, 3, 5]);
      },
    ],
    [
      "whose weight is not transposed",
      (b, x) => b.reshape(b.op("Gemm", [b.reshape(x, [6, 4]), weight(b, 4, 4)]), [2, 3, 4]),
    ],
    ["with a step between", (b, x) => b.reshape(b.op("Relu", [product(b, x)]), [2, 3, 5])],
    ["that is read as it is", (b, x) => b.op("Relu", [product(b, b.reshape(x, [6, 4]))])],
    [
      "whose rows were not stacked",
      (b, x) => {
        const rows = b.op("Flatten", [x], { axis: int(2) });
        return b.reshape(b.op("Gemm", [rows, weight(b, 5, 4)], transposed), [2, 3, 5]);
      },
    ],
  ];
  it.each(kept)("leaves a product %s", async (_, write) => {
    const { before, after } = await flattened([2, 3, 4], write);
    expect(after.nodes).toEqual(before.nodes);
  });

  it("leaves a product of unknown shape", () => {
    const b = new GraphBuilder();
    b.output(b.reshape(product(b, b.input("x", [2, 3, 4])), [2, 3, 5]), { dims: [2, 3, 5] });
    expect(withoutFlattening(b.graph, () => undefined).nodes).toEqual(b.graph.nodes);
  });
});
