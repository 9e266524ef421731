import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { type Graph, int, ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../../src/onnx-vjp/graph/live.ts";
import { simplify } from "../../../src/onnx-vjp/prepare/simplify.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers } from "../../support/check-rule.ts";
import { resultsOf } from "../../support/same-results.ts";

const runtime = nodeRuntime({ threads: 1 });

/** Simplifies the graph that `build` makes on the input x, and asserts that it computes the same numbers. */
async function simplified(
  dims: readonly number[],
  build: (b: GraphBuilder, x: string) => string | readonly string[],
): Promise<Graph> {
  const b = new GraphBuilder();
  const made = build(b, b.input("x", dims));
  for (const value of typeof made === "string" ? [made] : made) b.output(value, { dims: [] });
  const traced = await trace(runtime, b.graph, { x: dims });
  const simple = simplify(traced);
  const inputs = { x: randomArray(dims, randomNumbers(1)) };
  expect(await resultsOf(simple, inputs)).toEqual(await resultsOf(b.graph, inputs));
  return simple;
}

const opsOf = (graph: Graph) => graph.nodes.map((node) => node.op);

describe("simplifying", () => {
  const nothing: [string, (b: GraphBuilder, x: string) => string][] = [
    ["Identity", (b, x) => b.op("Identity", [x])],
    ["Cast to its own type", (b, x) => b.op("Cast", [x], { to: int(1) })],
    ["Reshape to its own shape", (b, x) => b.reshape(x, [2, -1])],
    ["Expand to its own shape", (b, x) => b.op("Expand", [x, b.ints([1, 3])])],
    ["Tile once", (b, x) => b.op("Tile", [x, b.ints([1, 1])])],
    ["Concat of one", (b, x) => b.op("Concat", [x], { axis: int(0) })],
    ["Transpose by the identity", (b, x) => b.transpose(x, [0, 1])],
    ["Slice of everything", (b, x) => b.op("Slice", [x, b.ints([0]), b.ints([9]), b.ints([1])])],
    ["Pad by nothing", (b, x) => b.op("Pad", [x, b.ints([0, 0, 0, 0])])],
    ["Add 0", (b, x) => b.op("Add", [x, b.scalar(0)])],
    ["Div by 1", (b, x) => b.op("Div", [x, b.floats([3], [1, 1, 1])])],
  ];
  it.each(nothing)("drops %s", async (_, build) => {
    expect(opsOf(await simplified([2, 3], (b, x) => b.op("Exp", [build(b, x)])))).toEqual(["Exp"]);
  });

  const something: [string, (b: GraphBuilder, x: string) => string][] = [
    [
      "a reversing Slice",
      (b, x) => b.op("Slice", [x, b.ints([-1]), b.ints([-9]), b.ints([1]), b.ints([-1])]),
    ],
    ["a shifting Pad", (b, x) => b.op("Pad", [x, b.ints([0, 1, 0, -1])])],
    ["a square Transpose", (b, x) => b.transpose(x, [1, 0])],
    [
      "a Mul that broadcasts its first input",
      (b, x) => b.op("Mul", [x, b.floats([2, 3, 3], new Float32Array(18).fill(1))]),
    ],
    ["a Cast", (b, x) => b.op("Cast", [b.op("Cast", [x], { to: int(6) })], { to: int(1) })],
  ];
  it.each(something)("keeps %s", async (_, build) => {
    const graph = await simplified([3, 3], (b, x) => b.op("Exp", [build(b, x)]));
    expect(graph.nodes.length).toBeGreaterThan(1);
  });

  /** Attention weights as exporters write them for masks that may close a whole row. */
  const attention = (b: GraphBuilder, x: string, mask: Float32Array): string => {
    const scores = b.op("MatMul", [x, b.op("Transpose", [x], { perm: ints([1, 0]) })]);
    const weights = b.op("Softmax", [b.op("Add", [scores, b.floats([48, 48], mask)])]);
    return b.op("Exp", [b.op("Where", [b.op("IsNaN", [weights]), b.scalar(0), weights])]);
  };

  it("drops a large mask that closes nothing, and the guard against rows that it closes", async () => {
    const graph = await simplified([48, 2], (b, x) => attention(b, x, new Float32Array(48 * 48)));
    expect(opsOf(graph)).toEqual(["Transpose", "MatMul", "Softmax", "Exp"]);
  });

  it("keeps the guard where a mask closes a row", async () => {
    const closed = new Float32Array(48 * 48).fill(Number.NEGATIVE_INFINITY, 0, 48);
    const graph = await simplified([48, 2], (b, x) => attention(b, x, closed));
    expect(opsOf(graph)).toEqual(["Transpose", "MatMul", "Add", "Softmax", "IsNaN", "Where", "Exp"]);
  });

  it("makes one of chains of reshapes and of transposes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        async (first, second) => {
          const back = second.map((p) => first[p]).every((p, i) => p === i);
          const graph = await simplified([2, 3, 4], (b, x) =>
            b.op("Exp", [b.transpose(b.transpose(x, first), second)]),
          );
          expect(opsOf(graph)).toEqual(back ? ["Exp"] : ["Transpose", "Exp"]);
        },
      ),
      { numRuns: 12 },
    );
    const there = await simplified([2, 6], (b, x) => b.op("Exp", [b.reshape(b.reshape(x, [3, 4]), [12])]));
    expect(opsOf(there)).toEqual(["Reshape", "Exp"]);
    const back = await simplified([2, 6], (b, x) => b.op("Exp", [b.reshape(b.reshape(x, [3, 4]), [2, 6])]));
    expect(opsOf(back)).toEqual(["Exp"]);
  });

  it("computes equal things once, and keeps unequal ones apart", async () => {
    const graph = await simplified([2, 3], (b, x) => {
      const sum = (axis: number) => b.reduceSum(b.op("Exp", [x]), [axis], true);
      return b.op("Add", [b.op("Mul", [sum(0), sum(1)]), sum(0)]);
    });
    expect(opsOf(graph).sort()).toEqual(["Add", "Exp", "Mul", "ReduceSum", "ReduceSum"]);
  });

  it("keeps one of several equal constants, and all that differ in value, type or shape", async () => {
    const values = Array.from(randomArray([100], randomNumbers(2)).data);
    const changed = values.with(90, 7);
    const graph = await simplified([1, 100], (b, x) => {
      const all: [readonly number[], readonly number[]][] = [
        [[100], values],
        [[100], values],
        [[1, 100], values],
        [[100], changed],
      ];
      const names = all.map(([dims, v], i) => b.constant(constantOf("float32", dims, v), `c${i}`));
      return names.reduce((sum, name) => b.op("Add", [sum, name]), x);
    });
    expect([...graph.constants.keys()]).toEqual(["c0", "c2", "c3"]);
  });

  it("keeps the names of graph outputs, also where nothing is computed for them", async () => {
    const graph = await simplified([2, 3], (b, x) => [
      b.named("Identity", [x], "same"),
      b.named("Exp", [x], "first"),
      b.named("Exp", [x], "second"),
    ]);
    expect(graph.outputs.map((o) => o.name)).toEqual(["same", "first", "second"]);
    expect(graph.nodes.flatMap((n) => n.outputs).sort()).toEqual(["first", "same", "second"]);
  });
});

describe("removing dead nodes", () => {
  it("keeps exactly what the outputs need, in order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 20 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
        (edges, wanted) => {
          // Node k adds two earlier values; value 0 is the input.
          const b = new GraphBuilder();
          const values = [b.input("v0", [1])];
          for (const [k, [i, j]] of edges.entries()) {
            values.push(b.named("Add", [values[i % values.length], values[j % values.length]], `v${k + 1}`));
          }
          b.graph.outputs = wanted.map((w) => ({
            name: values[w % values.length],
            dtype: "float32",
            dims: [1],
          }));
          const needs = (name: string): Set<string> => {
            const k = Number(name.slice(1)) - 1;
            if (k < 0) return new Set();
            const inputs = edges[k].map((i) => values[i % (k + 1)]);
            return new Set([name, ...inputs.flatMap((i) => [...needs(i)])]);
          };
          const expected = new Set(b.graph.outputs.flatMap((o) => [...needs(o.name)]));
          const kept = withoutDeadNodes(b.graph).nodes.map((n) => n.outputs[0]);
          expect(kept).toEqual(values.filter((v) => expected.has(v)));
        },
      ),
    );
  });

  it("keeps what a body reads from outside", () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1]);
    const inside = b.named("Exp", [x], "read inside");
    b.named("Neg", [x], "read nowhere");
    const body = new GraphBuilder();
    body.output(body.op("Neg", [inside]), { dims: [1] });
    const graphs = {
      then_branch: { kind: "graph" as const, value: body.graph },
      else_branch: { kind: "graph" as const, value: body.graph },
    };
    b.output(b.op("If", [b.constant(constantOf("bool", [], [1]))], graphs), { dims: [1] });
    expect(opsOf(withoutDeadNodes(b.graph))).toEqual(["Exp", "If"]);
  });
});
