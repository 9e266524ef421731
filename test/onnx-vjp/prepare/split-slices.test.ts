import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { type Graph, int } from "../../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { array64, randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { expectSameAfterPreparing } from "../../support/same-results.ts";

/** A graph whose outputs are the parts of its input x. */
function partsOf(dims: readonly number[], build: (b: GraphBuilder, x: string) => readonly string[]): Graph {
  const b = new GraphBuilder();
  const x = b.op("Relu", [b.input("x", dims)]);
  // Each part is used, so that no Split output is a graph output by chance.
  for (const part of build(b, x)) b.output(b.op("Exp", [part]), { dims: [] });
  return b.graph;
}

const slice = (b: GraphBuilder, x: string, axis: number, start: number, end: number, step = 1) =>
  b.op("Slice", [x, b.ints([start]), b.ints([end]), b.ints([axis]), b.ints([step])]);
const gather = (b: GraphBuilder, x: string, axis: number, index: number) =>
  b.op("Gather", [x, b.constant(constantOf("int64", [], [index]))], { axis: int(axis) });
const count = (graph: Graph, op: string) => graph.nodes.filter((node) => node.op === op).length;

describe("parts of a value that tile an axis become one Split", () => {
  it("slices of any sizes, in any order, some to the end", async () => {
    const cases = fc
      .record({
        sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 4 }),
        axis: fc.integer({ min: 0, max: 2 }),
        fromEnd: fc.boolean(),
      })
      .chain((c) =>
        fc.tuple(fc.constant(c), fc.shuffledSubarray([...c.sizes.keys()], { minLength: c.sizes.length })),
      );
    await fc.assert(
      fc.asyncProperty(cases, async ([{ sizes, axis, fromEnd }, order]) => {
        const whole = sizes.reduce((a, b) => a + b);
        const graph = partsOf(
          [2, 3, 4].map((d, i) => (i === axis ? whole : d)),
          (b, x) =>
            order.map((k) => {
              const start = sizes.slice(0, k).reduce((a, c) => a + c, 0);
              const end = start + sizes[k];
              return slice(
                b,
                x,
                fromEnd ? axis - 3 : axis,
                fromEnd && start > 0 ? start - whole : start,
                end === whole ? 2 ** 62 : end,
              );
            }),
        );
        const prepared = await expectSameAfterPreparing(graph);
        expect(count(prepared, "Split")).toBe(1);
        expect(count(prepared, "Slice")).toBe(0);
      }),
      { numRuns: 15 },
    );
  });

  it("scalar gathers, as of queries, keys and values", async () => {
    const graph = partsOf([3, 2, 5], (b, x) => [2, 0, -2].map((i) => gather(b, x, 0, i)));
    const prepared = await expectSameAfterPreparing(graph);
    expect([count(prepared, "Split"), count(prepared, "Gather")]).toEqual([1, 0]);
  });

  it("every second, third, … element", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 3 }), fc.integer({ min: 0, max: 1 }), async (step, axis) => {
        const graph = partsOf([6, 12], (b, x) =>
          Array.from({ length: step }, (_, i) => slice(b, x, axis, step - 1 - i, 2 ** 62, step)),
        );
        const prepared = await expectSameAfterPreparing(graph);
        expect([count(prepared, "Split"), count(prepared, "Slice")]).toEqual([1, 0]);
      }),
      { numRuns: 4 },
    );
  });

  const apart: [string, (b: GraphBuilder, x: string) => readonly string[]][] = [
    ["a gap", (b, x) => [slice(b, x, 1, 0, 2), slice(b, x, 1, 3, 6)]],
    ["an overlap", (b, x) => [slice(b, x, 1, 0, 4), slice(b, x, 1, 3, 6)]],
    ["an end that is not reached", (b, x) => [slice(b, x, 1, 0, 2), slice(b, x, 1, 2, 5)]],
    ["different axes", (b, x) => [slice(b, x, 1, 0, 3), slice(b, x, 0, 2, 4)]],
    ["a reversal", (b, x) => [slice(b, x, 1, 2, -9, -1), slice(b, x, 1, 3, 6)]],
    ["even elements alone", (b, x) => [slice(b, x, 1, 0, 6, 2), slice(b, x, 0, 0, 4, 2)]],
    [
      "a gather of several",
      (b, x) => [b.op("Gather", [x, b.ints([0, 1])]), b.op("Gather", [x, b.ints([2, 3])])],
    ],
  ];
  it.each(apart)("but not with %s", async (_, build) => {
    const prepared = await expectSameAfterPreparing(partsOf([4, 6], build));
    expect(count(prepared, "Split")).toBe(0);
  });

  it("and their pullback is one Concat", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1, 8]);
    // A roll by three, and the sum of even and odd elements.
    const rolled = b.op("Concat", [slice(b, x, 1, 3, 8), slice(b, x, 1, 0, 3)], { axis: int(1) });
    const pairs = b.op("Mul", [slice(b, rolled, 1, 0, 8, 2), slice(b, rolled, 1, 1, 8, 2)]);
    b.output(pairs, { dims: [1, 4] });
    const prepared = await prepareGraph(nodeRuntime({ threads: 1 }), b.graph, { x: [1, 8] });
    const values = randomArray([1, 8], randomNumbers(1));
    const cotangent = array64([1, 4], [1, 2, 3, 4]);
    const { gradients, ops } = await pullbackOf(prepared, { x: values }, ["x"], [cotangent]);
    const expected = new Float64Array(8);
    for (let i = 0; i < 4; i++) {
      const [even, odd] = [(2 * i + 3) % 8, (2 * i + 4) % 8];
      expected[even] = cotangent.data[i] * values.data[odd];
      expected[odd] = cotangent.data[i] * values.data[even];
    }
    expect(relativeError(gradients[0], expected)).toBeLessThan(1e-6);
    expect(ops).not.toContain("Pad");
    expect(ops).not.toContain("Add");
  });
});
