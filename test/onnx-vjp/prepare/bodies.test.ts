import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import {
  type Attribute,
  type DataType,
  type Graph,
  int,
  ints,
  type ValueInfo,
} from "../../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { checkGraph } from "../../support/check-operator.ts";
import { type Array64, randomArray, randomNumbers } from "../../support/check-rule.ts";

const random = randomNumbers(5);
const normal = (...dims: number[]): Array64 => randomArray(dims, random);
const builderAt = (opset: number) => new GraphBuilder({ ...emptyGraph(), opset });

/** A value of a body that declares its type alone. */
const unranked = (name: string, dtype: DataType = "float32"): ValueInfo => ({
  name,
  dtype,
  dims: [],
  ranked: false,
});

let bodies = 0;

/** A body that `write` fills; it returns the names of its outputs. */
function body(
  opset: number,
  inputs: readonly ValueInfo[],
  write: (b: GraphBuilder) => readonly string[],
  typed = false,
): Attribute {
  const b = new GraphBuilder({ ...emptyGraph("body"), opset }, `body${bodies++}/`);
  b.graph.inputs.push(...inputs);
  const declared = typed ? {} : { typed: false as const };
  for (const name of write(b)) b.graph.outputs.push({ name, dtype: "float32", dims: [], ...declared });
  return { kind: "graph", value: b.graph };
}

const counter = [
  { name: "i", dtype: "int64", dims: [] },
  { name: "go", dtype: "bool", dims: [] },
] as const satisfies ValueInfo[];

const number = (b: GraphBuilder, value: number) => b.constant(constantOf("int64", [], [value]));
const yes = (b: GraphBuilder) => b.constant(constantOf("bool", [], [1]));

/** What a graph is prepared to, by operators. */
async function preparedOps(graph: Graph, dims: Record<string, readonly number[]>): Promise<string[]> {
  return (await prepareGraph(nodeRuntime({ threads: 1 }), graph, dims)).nodes.map((node) => node.op);
}

describe("Loop", () => {
  it.each([11, 13, 18])(
    "with a constant count, a state, what it collects and an outer value, opset %i",
    async (opset) => {
      const b = builderAt(opset);
      const x = b.input("x", [2, 3]);
      const scaled = b.op("Mul", [x, b.scalar(0.5)]);
      const inner = body(opset, [...counter, unranked("s")], (w) => {
        const turn = w.op("Cast", ["i"], { to: int(1) });
        const next = w.op("Add", [w.op("Tanh", ["s"]), w.op("Mul", [scaled, turn])]);
        return [w.op("Identity", ["go"]), next, w.op("Sin", [next])];
      });
      const [last, all] = b.ops("Loop", [number(b, 3), yes(b), x], 2, { body: inner });
      b.output(last!, { dims: [2, 3] });
      b.output(all!, { dims: [3, 2, 3] });
      await checkGraph(b.graph, { x: normal(2, 3) });
    },
  );

  it("that ends by a counter of its own, without a limit", async () => {
    const b = builderAt(13);
    const x = b.input("x", [4]);
    const inner = body(13, [...counter, unranked("k", "int64"), unranked("s")], (w) => {
      const k = w.op("Add", ["k", number(w, 2)]);
      return [w.op("Less", [k, number(w, 7)]), k, w.op("Sin", ["s"])];
    });
    b.output(b.ops("Loop", ["", yes(b), number(b, 1), x], 2, { body: inner })[1], { dims: [4] });
    expect((await preparedOps(b.graph, { x: [4] })).filter((op) => op === "Sin")).toHaveLength(3);
    await checkGraph(b.graph, { x: normal(4) });
  });

  it("that never runs hands its state on", async () => {
    const b = builderAt(13);
    const x = b.input("x", [4]);
    const inner = body(13, [...counter, unranked("s")], (w) => [
      w.op("Identity", ["go"]),
      w.op("Sin", ["s"]),
    ]);
    b.output(b.op("Cos", [b.op("Loop", [number(b, 0), yes(b), x], { body: inner })]), { dims: [4] });
    expect(await preparedOps(b.graph, { x: [4] })).toEqual(["Cos"]);
  });

  it("that the image ends stays, and has no pullback", async () => {
    const b = builderAt(13);
    const x = b.input("x", [4]);
    const inner = body(13, [...counter, unranked("s")], (w) => {
      const half = w.op("Mul", ["s", w.scalar(0.5)]);
      const sum = w.op("ReduceSum", [half], { keepdims: int(0) });
      return [w.op("Greater", [sum, w.scalar(0.1)]), half];
    });
    b.output(b.op("Loop", [number(b, 9), yes(b), x], { body: inner }), { dims: [4] });
    expect(await preparedOps(b.graph, { x: [4] })).toEqual(["Loop"]);
  });

  it("within a loop", async () => {
    const b = builderAt(13);
    const x = b.input("x", [3]);
    const innermost = body(
      13,
      [{ ...counter[0], name: "j" }, { ...counter[1], name: "on" }, unranked("t")],
      (w) => [w.op("Identity", ["on"]), w.named("Sin", ["t"], "sine")],
    );
    const outer = body(13, [...counter, unranked("s")], (w) => [
      w.op("Identity", ["go"]),
      w.op("Add", [w.op("Loop", [number(w, 2), "go", "s"], { body: innermost }), x]),
    ]);
    b.output(b.op("Loop", [number(b, 2), yes(b), x], { body: outer }), { dims: [3] });
    expect((await preparedOps(b.graph, { x: [3] })).filter((op) => op === "Sin")).toHaveLength(4);
    await checkGraph(b.graph, { x: normal(3) });
  });
});

describe("Scan", () => {
  it.each([11, 18])("forwards and backwards, along other axes, opset %i", async (opset) => {
    const b = builderAt(opset);
    const [x, start] = [b.input("x", [2, 4, 3]), b.input("start", [2, 3])];
    const inner = body(opset, [unranked("s"), unranked("row"), unranked("other")], (w) => {
      const next = w.op("Add", [w.op("Mul", [w.op("Tanh", ["s"]), "row"]), w.op("Sin", ["other"])]);
      return [next, w.op("Cos", [next])];
    });
    const [last, all] = b.ops("Scan", [start, x, x], 2, {
      body: inner,
      num_scan_inputs: int(2),
      scan_input_axes: ints([1, -2]),
      scan_input_directions: ints([0, 1]),
      scan_output_axes: ints([2]),
      scan_output_directions: ints([1]),
    });
    b.output(last!, { dims: [2, 3] });
    b.output(all!, { dims: [2, 3, 4] });
    await checkGraph(b.graph, { x: normal(2, 4, 3), start: normal(2, 3) });
  });
});

describe("If that the image decides", () => {
  const decided = (
    opset: number,
    condition: (b: GraphBuilder, x: string) => string,
    other: string,
  ): Graph => {
    const b = builderAt(opset);
    const x = b.input("x", [2, 3]);
    const outer = b.op("Exp", [x]);
    const branches = {
      then_branch: body(opset, [], (w) => [w.op("Sin", [outer])]),
      else_branch: body(opset, [], (w) => [w.op(other, [outer, ...(other === "Slice" ? bounds(w) : [])])]),
    };
    b.output(b.op("Cos", [b.op("If", [condition(b, x)], branches)]), { dims: [] });
    return b.graph;
  };
  const bounds = (w: GraphBuilder) => [w.ints([0]), w.ints([1]), w.ints([1])];
  const sum = (keepdims: number) => (b: GraphBuilder, x: string) => {
    const total = b.op("ReduceSum", [x], { keepdims: int(keepdims) });
    return b.op("Greater", [keepdims === 1 ? b.op("Reshape", [total, b.ints([1])]) : total, b.scalar(0)]);
  };

  it.each([0, 1])("has the pullback of the branch that is taken (condition with %i axes)", async (axes) => {
    const graph = decided(13, sum(axes), "Tanh");
    for (const sign of [1, -1]) {
      const x = normal(2, 3);
      await checkGraph(graph, { x: { ...x, data: x.data.map((v) => sign * Math.abs(v)) } });
    }
  });

  it("stays as it is, with what it reads, where its branches give different shapes", async () => {
    const ops = await preparedOps(decided(13, sum(0), "Slice"), { x: [2, 3] });
    expect(ops).toContain("If");
    expect(ops).toContain("Exp");
  });
});

describe("sequences", () => {
  const parts = (b: GraphBuilder, x: string, split: string, axis = 1, keepdims = 1) =>
    b.op("SplitToSequence", split === "" ? [x] : [x, split], { axis: int(axis), keepdims: int(keepdims) });

  it.each([11, 13, 18])("that are split, changed and put together again, opset %i", async (opset) => {
    const b = builderAt(opset);
    const x = b.input("x", [2, 6]);
    const split = parts(b, x, b.ints([1, 2, 3]));
    const inserted = b.op("SequenceInsert", [split, b.op("Sin", [x]), number(b, -1)]);
    const erased = b.op("SequenceErase", [inserted, number(b, 0)]);
    const whole = b.op("ConcatFromSequence", [erased], { axis: int(1) });
    const length = b.op("Cast", [b.op("SequenceLength", [erased])], { to: int(1) });
    b.output(b.op("Mul", [b.op("Tanh", [whole]), length]), { dims: [2, 11] });
    await checkGraph(b.graph, { x: normal(2, 6) });
  });

  it("of parts of equal size, of single elements, and stacked anew", async () => {
    for (const [split, keepdims] of [
      ["scalar", 1],
      ["", 1],
      ["", 0],
    ] as const) {
      const b = builderAt(13);
      const x = b.input("x", [2, 5]);
      const sequence = parts(b, x, split === "" ? "" : number(b, 2), 1, keepdims);
      const [first, last] = [0, -1].map((at) => b.op("SequenceAt", [sequence, number(b, at)]));
      b.output(b.op("Mul", [first!, b.op("Sin", [last!])]), { dims: [] });
      await checkGraph(b.graph, { x: normal(2, 5) });
    }
    const b = builderAt(13);
    const x = b.input("x", [2, 3]);
    const made = b.op("SequenceConstruct", [x, b.op("Sin", [x])]);
    b.output(b.op("Tanh", [b.op("ConcatFromSequence", [made], { axis: int(-1), new_axis: int(1) })]), {
      dims: [],
    });
    await checkGraph(b.graph, { x: normal(2, 3) });
  });

  it("that a loop fills", async () => {
    const b = builderAt(13);
    const x = b.input("x", [3]);
    const inner = body(13, [...counter, { ...unranked("list"), sequence: true }], (w) => {
      const turn = w.op("Cast", ["i"], { to: int(1) });
      return [
        w.op("Identity", ["go"]),
        w.op("SequenceInsert", ["list", w.op("Sin", [w.op("Mul", [x, turn])])]),
      ];
    });
    const filled = b.op("Loop", [number(b, 3), yes(b), b.op("SequenceEmpty", [])], { body: inner });
    b.output(b.op("ConcatFromSequence", [filled], { axis: int(0) }), { dims: [9] });
    await checkGraph(b.graph, { x: normal(3) });
  });

  it("that a body maps, with another sequence beside", async () => {
    const b = builderAt(17);
    const x = b.input("x", [2, 4]);
    const split = parts(b, x, number(b, 2));
    const inner = body(
      17,
      [unranked("a"), unranked("b")],
      (w) => [w.op("Mul", [w.op("Sin", ["a"]), "b"])],
      true,
    );
    const mapped = b.op("SequenceMap", [split, split], { body: inner });
    b.output(b.op("ConcatFromSequence", [mapped], { axis: int(0) }), { dims: [4, 2] });
    await checkGraph(b.graph, { x: normal(2, 4) });
  });

  it("and optional values", async () => {
    const b = builderAt(15);
    const x = b.input("x", [2, 4]);
    const optional = b.op("Optional", [b.op("Sin", [x])]);
    b.output(b.op("Tanh", [b.op("OptionalGetElement", [optional])]), { dims: [2, 4] });
    await checkGraph(b.graph, { x: normal(2, 4) });
  });
});
