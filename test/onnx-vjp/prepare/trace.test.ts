import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { measureStage } from "../../../src/memory.ts";
import { emptyGraph, GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf, numbersOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { type Graph, int, ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { retrace, trace, traceBatches } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });

/** Tokens of an image as exporters flatten it: [n, c, h, w] to [n, h·w, c], the shape computed in the graph. */
function tokens(): Graph {
  const b = new GraphBuilder();
  const x = b.input("x", ["batch", 3, "height", "width"]);
  const shape = b.op("Shape", [x]);
  const size = (i: number) => b.op("Gather", [shape, b.ints([i])]);
  const target = b.op("Concat", [size(0), size(1), b.ints([-1])], { axis: int(0) });
  const flat = b.named("Reshape", [x, target], "flat");
  const out = b.named("Transpose", [flat], "tokens", { perm: ints([0, 2, 1]) });
  b.output(b.named("Relu", [out], "active"), { dims: ["batch", "tokens", 3] });
  return b.graph;
}

describe("tracing", () => {
  it("finds static shapes at any batch without running that batch", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        async (n, h, w) => {
          const { types } = await trace(runtime, tokens(), { x: [n, 3, h, w] });
          expect(types.get("flat")).toEqual({ dtype: "float32", dims: [n, 3, h * w] });
          expect(types.get("active")).toEqual({ dtype: "float32", dims: [n, h * w, 3] });
        },
      ),
      { numRuns: 10 },
    );
  });

  it("folds shape arithmetic into constants at the batch asked for", async () => {
    const traced = await trace(runtime, tokens(), { x: [5, 3, 2, 4] });
    expect(traced.nodes.map((node) => node.op)).toEqual(["Reshape", "Transpose", "Relu"]);
    const target = traced.constants.get(traced.nodes[0].inputs[1])!;
    expect(Array.from(numbersOf(target))).toEqual([5, 3, -1]);
    expect(traced.constants.size).toBe(1);
  });

  it("folds Shape from start to end, Size, and values computed from constants alone", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", 2, 3]);
    const tail = b.op("Shape", [x], { start: int(-2), end: int(-1) });
    const size = b.op("Size", [x]);
    const both = b.op("Concat", [tail, b.reshape(size, [1])], { axis: int(0) });
    const weight = b.op("Exp", [b.floats([3], [0, 1, 2])]);
    const counts = b.op("ReduceSum", [b.op("Cast", [both], { to: int(1) })]);
    b.output(b.op("Add", [b.op("Mul", [x, weight]), counts]), { dims: ["n", 2, 3] });
    const traced = await trace(runtime, b.graph, { x: [4, 2, 3] });
    expect(traced.nodes.map((node) => node.op)).toEqual(["Mul", "Add"]);
    const folded = traced.nodes.map((node) => Array.from(numbersOf(traced.constants.get(node.inputs[1])!)));
    expect(folded[0]).toEqual([0, 1, 2].map((v) => Math.fround(Math.exp(v))));
    expect(folded[1]).toEqual([2 + 4 * 2 * 3]);
  });

  it("measures once for several batches", async () => {
    let sessions = 0;
    const counting: typeof runtime = {
      ...runtime,
      session: (graph, options) => {
        sessions++;
        return runtime.session(graph, options);
      },
    };
    const at = traceBatches(counting, tokens(), { x: [1, 3, 2, 4] });
    const batches = [3, 1, 2, 7];
    const traced = await Promise.all([await at(batches[0]), ...batches.slice(1).map((n) => at(n))]);
    for (const [i, { types, inputs }] of traced.entries()) {
      expect(types.get("active")!.dims).toEqual([batches[i], 8, 3]);
      expect(inputs[0].dims).toEqual([batches[i], 3, 2, 4]);
    }
    // Element types and one run of the graph for all, and one fold of its shape arithmetic each.
    expect(sessions).toBe(2 + batches.length);
  });

  it("lets values go while it measures: memory does not grow with the depth of a graph", async () => {
    const side = 1024;
    const value = 4 * 3 * side ** 2;
    const depth = 40;
    const b = new GraphBuilder();
    let x = b.input("x", ["n", 3, side, side]);
    for (let i = 0; i < depth; i++) x = b.op("Erf", [x]);
    b.output(x, { dims: ["n", 3, side, side] });
    const before = process.memoryUsage().rss;
    const { stage } = await measureStage("trace", () => trace(runtime, b.graph, { x: [1, 3, side, side] }));
    expect(stage.peakMemoryBytes - before).toBeLessThan((depth / 4) * value);
  });

  it("runs a graph of a fixed batch at that batch", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [4, 6]);
    const y = b.named("Reshape", [x, b.ints([8, 3])], "y");
    b.output(y, { dims: [8, 3] });
    const traced = await trace(runtime, b.graph, { x: [4, 6] });
    expect(traced.types.get("y")!.dims).toEqual([8, 3]);
    await expect(trace(runtime, b.graph, { x: [5, 6] })).rejects.toThrow(
      /shape \[4, 6\] and cannot take \[5, 6\]/,
    );
  });

  it("leaves random numbers random", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", 2]);
    b.output(b.op("Add", [x, b.op("RandomNormal", [], { shape: ints([2]) })]), { dims: ["n", 2] });
    const traced = await trace(runtime, b.graph, { x: [1, 2] });
    expect(traced.nodes.map((node) => node.op)).toEqual(["RandomNormal", "Add"]);
  });

  it("does not fold a body that reads what depends on the input", async () => {
    const b = new GraphBuilder({ ...emptyGraph(), opset: 17 });
    const x = b.input("x", ["n", 2]);
    const twice = b.named("Add", [x, x], "twice");
    const body = (op: string): Graph => {
      const inner = new GraphBuilder({ ...emptyGraph("branch"), opset: 17 });
      inner.output(inner.op(op, [twice]), { dims: ["n", 2] });
      return inner.graph;
    };
    const condition = b.constant(constantOf("bool", [], [1]));
    b.graph.nodes.push({
      op: "If",
      domain: "",
      name: "if",
      inputs: [condition],
      outputs: ["chosen"],
      attributes: {
        then_branch: { kind: "graph", value: body("Neg") },
        else_branch: { kind: "graph", value: body("Exp") },
      },
    });
    b.output(b.op("Relu", ["chosen"]), { dims: ["n", 2] });
    const traced = await trace(runtime, b.graph, { x: [3, 2] });
    expect(traced.nodes.map((node) => node.op)).toEqual(["Add", "If", "Relu"]);
    expect(traced.types.get("chosen")!.dims).toEqual([3, 2]);
  });

  it("names an input that it was given no shape for, and a shape that does not fit", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", 2]);
    const mask = b.input("mask", ["n", 2], "int64");
    b.output(b.op("Mul", [x, b.op("Cast", [mask], { to: int(1) })]), { dims: ["n", 2] });
    await expect(trace(runtime, b.graph, { x: [1, 2] })).rejects.toThrow(/"mask" \(int64 \[n, 2\]\)/);
    const sizes = { x: [1, 3], mask: [1, 2] };
    await expect(trace(runtime, b.graph, sizes)).rejects.toThrow(
      /"x" has shape \[n, 2\] and cannot take \[1, 3\]/,
    );
  });

  it("says on which input a model cannot run", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", "c"]);
    b.output(b.op("MatMul", [x, b.floats([4, 2], new Float32Array(8))]), { dims: ["n", 2] });
    const tracing = trace(runtime, b.graph, { x: [2, 5] });
    await expect(tracing).rejects.toThrow(ModelError);
    await expect(tracing).rejects.toThrow(/cannot run on input "x" \[2, 5\]/);
  });
});

describe("tracing again after a rewrite", () => {
  it("infers the types of new values, scalars and computed shapes too, and folds", async () => {
    const traced = await trace(runtime, tokens(), { x: [6, 3, 2, 4] });
    const b = new GraphBuilder({ ...traced, nodes: [...traced.nodes] }, "new/");
    const mean = b.op("ReduceMean", ["active"], { keepdims: int(0) });
    const rows = b.op("Concat", [b.ints([6]), b.ints([24])], { axis: int(0) });
    const wide = b.op("Reshape", ["active", rows]);
    const found = b.op("NonZero", [wide]);
    b.graph.outputs = [];
    for (const name of [mean, wide]) b.output(name, { dims: [] });
    b.output(found, { dims: [2, "found"], dtype: "int64" });
    const { types, nodes } = await retrace(runtime, b.graph, traced.types);
    expect(types.get(mean)).toEqual({ dtype: "float32", dims: [] });
    expect(types.get(wide)).toEqual({ dtype: "float32", dims: [6, 24] });
    // On zeros, which is what is run where nothing can be inferred, NonZero finds nothing.
    expect(types.get(found)).toEqual({ dtype: "int64", dims: [2, 0] });
    expect(nodes.map((node) => node.op)).not.toContain("Concat");
  });
});
