import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countFlops } from "../../../bench/lib/flops.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { int, ints, type TracedGraph } from "../../../src/onnx-vjp/graph/ir.ts";
import { readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import { narrow } from "../../../src/onnx-vjp/prepare/narrow.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { runGraph } from "../../support/run-graph.ts";
import { expectSameAfterPreparing } from "../../support/same-results.ts";

const runtime = nodeRuntime({ threads: 1 });
const random = randomNumbers(3);

/** Narrows a graph of one input, asserts that it computes the same, and returns both. */
async function narrowed(b: GraphBuilder): Promise<{ before: TracedGraph; after: TracedGraph }> {
  const dims = Object.fromEntries(b.graph.inputs.map((input) => [input.name, input.dims as number[]]));
  const before = await trace(runtime, b.graph, dims);
  const after = narrow(before);
  const feeds = Object.fromEntries(Object.entries(dims).map(([name, d]) => [name, randomArray(d, random)]));
  const expected = await runGraph(before, feeds);
  for (const [i, { dims: shape, data }] of (await runGraph(after, feeds)).entries()) {
    expect(shape).toEqual(expected[i].dims);
    expect(relativeError(data, expected[i].data)).toBeLessThan(1e-6);
  }
  return { before, after };
}

const forwardFlops = (graph: TracedGraph): number => countFlops(graph, [], []).forward;
const floats = (b: GraphBuilder, ...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
const slice = (b: GraphBuilder, x: string, axis: number, start: number, end: number, step = 1) =>
  b.op("Slice", [x, b.ints([start]), b.ints([end]), b.ints([axis]), b.ints([step])]);
const first = (b: GraphBuilder, x: string, axis: number) =>
  b.op("Gather", [x, b.constant(constantOf("int64", [], [0]))], { axis: int(axis) });

const [batch, tokens, width, heads] = [2, 7, 8, 2];

/** A block's linear layer: a Gemm of [batch·tokens, from], or a MatMul of [batch, tokens, from] and a sum. */
type Linear = (b: GraphBuilder, x: string, from: number, to: number) => string;
const gemm: Linear = (b, x, from, to) => {
  const rows = b.reshape(x, [-1, from]);
  const y = b.op("Gemm", [rows, floats(b, to, from), floats(b, to)], { transB: int(1) });
  return b.reshape(y, [batch, -1, to]);
};
const matMul: Linear = (b, x, from, to) =>
  b.op("Add", [b.op("MatMul", [x, floats(b, from, to)]), floats(b, to)]);

function block(b: GraphBuilder, x: string, linear: Linear): string {
  const norm = (value: string) => b.op("LayerNormalization", [value, floats(b, width), floats(b, width)]);
  const size = width / heads;
  const qkv = b.reshape(linear(b, norm(x), width, 3 * width), [batch, tokens, 3, heads, size]);
  const [q, k, v] = b
    .ops("Split", [b.transpose(qkv, [2, 0, 3, 1, 4])], 3, { axis: int(0), num_outputs: int(3) })
    .map((part) => b.reshape(part, [batch, heads, tokens, size])) as [string, string, string];
  const scores = b.op("Softmax", [b.op("MatMul", [q, b.exchange(k, 4)])]);
  const mixed = b.reshape(b.transpose(b.op("MatMul", [scores, v]), [0, 2, 1, 3]), [batch, tokens, width]);
  const attended = b.op("Add", [x, linear(b, mixed, width, width)]);
  const hidden = b.op("Gelu", [linear(b, norm(attended), width, 4 * width)], {}, "com.microsoft");
  return b.op("Add", [attended, linear(b, hidden, 4 * width, width)]);
}

describe("a feature of one token narrows the last block to it", () => {
  // Keys and values, and products with them for one query; the rest of the block for one token.
  const linear = 2 * width * width * batch;
  const attention = 2 * 2 * width * tokens * batch;
  const whole = 12 * linear * tokens + attention * tokens;
  const last = 2 * linear * tokens + 10 * linear + attention;

  it.each([
    ["Gemm on a matrix of all tokens", gemm],
    ["MatMul on a sequence", matMul],
  ])("%s", async (_, layer) => {
    for (const take of [first, (b: GraphBuilder, x: string) => slice(b, x, 1, 0, 1)]) {
      const b = new GraphBuilder();
      const x = block(b, b.input("x", [batch, tokens, width]), layer);
      const token = take(b, block(b, x, layer), 1);
      b.output(b.op("LayerNormalization", [token, floats(b, width), floats(b, width)]), { dims: [] });
      const { before, after } = await narrowed(b);
      expect(forwardFlops(before)).toBe(2 * whole);
      expect(forwardFlops(after)).toBe(whole + last);
    }
  });

  it("but not where the tokens are an output too", async () => {
    const b = new GraphBuilder();
    const x = block(b, b.input("x", [batch, tokens, width]), matMul);
    b.output(x, { dims: [] });
    b.output(first(b, x, 1), { dims: [] });
    const { before, after } = await narrowed(b);
    expect(after).toBe(before);
  });
});

describe("a part moves up", () => {
  const cases: [string, number[], (b: GraphBuilder, x: string) => string][] = [
    ["broadcast sums", [4, 6], (b, x) => b.op("Add", [b.op("Mul", [x, floats(b, 4, 1)]), floats(b, 6)])],
    ["a normalization of another axis", [6, 3, 5], (b, x) => b.op("Softmax", [x], { axis: int(1) })],
    ["a joined axis", [3, 6, 5], (b, x) => b.reshape(b.op("Exp", [b.reshape(x, [18, 5])]), [3, 6, 5])],
    ["an axis with new ones beside it", [4, 6], (b, x) => b.op("Exp", [b.op("Unsqueeze", [x, b.ints([1])])])],
    [
      "a sum over another axis",
      [4, 3, 6],
      (b, x) => b.op("ReduceSum", [x, b.ints([1])], { keepdims: int(0) }),
    ],
    ["a spread value", [1, 6], (b, x) => b.op("Expand", [x, b.ints([4, 6])])],
    [
      "values in a row",
      [4, 3],
      (b, x) => b.op("Concat", [b.op("Neg", [x]), b.op("Exp", [x])], { axis: int(1) }),
    ],
    ["a product", [4, 6], (b, x) => b.op("MatMul", [x, floats(b, 6, 6)])],
    [
      "a transposed product",
      [6, 4],
      (b, x) => b.op("Gemm", [x, floats(b, 6, 5), floats(b, 4, 1)], { transA: int(1) }),
    ],
  ];
  it.each(cases)("through %s", async (_, dims, write) => {
    for (const [axis, start, end, step] of [
      [0, 1, 2, 1],
      [-1, 0, 3, 2],
    ] as const) {
      const b = new GraphBuilder();
      const y = write(b, b.op("Neg", [b.input("x", dims)]));
      b.output(b.op("Exp", [slice(b, y, axis, start, end, step)]), { dims: [] });
      const { before, after } = await narrowed(b);
      expect(after).not.toBe(before);
    }
  });

  it("through a normalization, with the part's own rows of a scale that has some", async () => {
    const b = new GraphBuilder();
    const x = b.op("Neg", [b.input("x", [2, 4, 6])]);
    const y = b.op("LayerNormalization", [x, floats(b, 4, 6), floats(b, 1, 6)], { axis: int(-1) });
    b.output(b.op("Exp", [slice(b, y, 1, 1, 2)]), { dims: [] });
    const { before, after } = await narrowed(b);
    expect(after).not.toBe(before);
  });

  it("of whatever is cut out of whatever shape", async () => {
    const size = fc.integer({ min: 1, max: 3 });
    const steps = fc.array(
      fc.tuple(fc.constantFrom("reshape", "transpose", "take", "double", "normalize", "concat"), fc.nat()),
      { minLength: 2, maxLength: 7 },
    );
    await fc.assert(
      fc.asyncProperty(fc.tuple(size, size, size, size), steps, async (factors, chain) => {
        const b = new GraphBuilder();
        let dims: number[] = factors.map((f) => 2 * f);
        let x = b.op("Neg", [b.input("x", dims)]);
        for (const [kind, pick] of chain) {
          const axis = pick % dims.length;
          if (kind === "reshape" && dims.length > 2) {
            const at = Math.min(axis, dims.length - 2);
            dims = [...dims.slice(0, at), dims[at] * dims[at + 1], ...dims.slice(at + 2)];
            x = b.reshape(x, dims);
          } else if (kind === "reshape") {
            dims = dims.flatMap((d) => (d % 2 === 0 ? [2, d / 2] : [d]));
            x = b.reshape(x, dims);
          } else if (kind === "transpose") {
            const perm = dims.map((_, i) => (i + axis) % dims.length);
            x = b.op("Transpose", [x], { perm: ints(perm) });
            dims = perm.map((p) => dims[p]);
          } else if (kind === "take" && dims[axis] > 1) {
            x = slice(b, x, axis, 0, dims[axis], 2);
            dims = dims.map((d, i) => (i === axis ? Math.ceil(d / 2) : d));
          } else if (kind === "double") x = b.op("Add", [x, floats(b, ...dims.slice(axis))]);
          else if (kind === "normalize") x = b.op("Softmax", [x], { axis: int(axis) });
          else if (kind === "concat") {
            x = b.op("Concat", [x, floats(b, ...dims)], { axis: int(axis) });
            dims = dims.map((d, i) => (i === axis ? 2 * d : d));
          }
        }
        b.output(b.op("Neg", [x]), { dims: [] });
        await narrowed(b);
      }),
      { numRuns: 40 },
    );
  });
});

describe("what is kept as it is", () => {
  const kept: [string, (b: GraphBuilder, x: string) => readonly string[]][] = [
    ["a part that is nearly all", (b, x) => [slice(b, b.op("Exp", [x]), 1, 1, 8)]],
    [
      "parts that together are all",
      (b, x) => b.ops("Split", [b.op("Exp", [x])], 2, { axis: int(1), num_outputs: int(2) }),
    ],
    ["a part of an axis that is mixed", (b, x) => [slice(b, b.op("Softmax", [x]), 1, 0, 1)]],
    ["a part that runs backwards", (b, x) => [slice(b, b.op("Exp", [x]), 1, 3, -9, -1)]],
    ["rows that are taken twice", (b, x) => [b.op("Gather", [b.op("Exp", [x]), b.ints([1, 1, 0])])]],
  ];
  it.each(kept)("%s", async (_, write) => {
    const b = new GraphBuilder();
    const parts = write(b, b.input("x", [4, 8]));
    for (const part of parts) b.output(b.op("Neg", [part]), { dims: [] });
    const { before, after } = await narrowed(b);
    expect(after.nodes.map((node) => node.op)).toEqual(before.nodes.map((node) => node.op));
  });
});

const models = fileURLToPath(new URL("../../fixtures/models", import.meta.url));

interface Meta {
  readonly feature: string;
  readonly inputShape: readonly number[];
  readonly featureShape: readonly number[];
}
const metaOf = (name: string) => JSON.parse(readFileSync(join(models, name, "meta.json"), "utf8")) as Meta;

describe("exports whose feature is all tokens, cut to the class token", () => {
  const names = readdirSync(models).filter((name) => metaOf(name).featureShape.length === 3);
  it.each(names)("%s", async (name) => {
    const { feature, inputShape } = metaOf(name);
    const read = await readOnnx(await readFile(join(models, name, "model.onnx")), name);
    const inputs = read.inputs.map((input) => ({ ...input, dims: inputShape }));
    const b = new GraphBuilder({ ...read, inputs, nodes: [...read.nodes] }, "test/");
    const token = slice(b, feature, 1, 0, 1);
    const cutTo = (value: string) =>
      expectSameAfterPreparing({ ...b.graph, outputs: [{ name: value, dtype: "float32", dims: [] }] });
    // Two blocks, of which the second keeps its keys and values alone: a third of its weights.
    expect(forwardFlops(await cutTo(token))).toBeLessThan(0.75 * forwardFlops(await cutTo(feature)));
  });
});
