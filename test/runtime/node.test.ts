import { Tensor } from "onnxruntime-common";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../src/graph/builder.ts";
import { int, ints, text } from "../../src/graph/ir.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const floats = (...values: number[]) => new Tensor("float32", Float32Array.from(values), [values.length]);

/** −x, its bool comparison with 0, and its non-zero places, whose number no shape tells. */
function graph() {
  const b = new GraphBuilder();
  const x = b.input("x", [3]);
  b.named("Neg", [x], "negative");
  b.named("Greater", [x, b.scalar(0)], "above");
  b.named("NonZero", [x], "places");
  b.output("negative", { dims: [3] });
  b.output("above", { dims: [3], dtype: "bool" });
  b.output("places", { dims: [1, "n"], dtype: "int64" });
  return b.graph;
}

test("outputs of every kind come under their names, those alone that were asked for", async () => {
  const session = await runtime.session(graph());
  expect(session.graph.outputs).toEqual(["negative", "above", "places"]);
  const all = await session.run({ x: floats(1, 0, -2) });
  expect(all.negative!.data).toEqual(Float32Array.of(-1, -0, 2));
  expect(Array.from(all.above!.data as Uint8Array)).toEqual([1, 0, 0]);
  expect(all.places!.dims).toEqual([1, 2]);
  const some = await session.run({ x: floats(3, 4, 5) }, { only: ["above"] });
  expect(Object.keys(some)).toEqual(["above"]);
  expect(Array.from(some.above!.data as Uint8Array)).toEqual([1, 1, 1]);
  await session.release();
});

test("a given tensor is written to and handed back, beside outputs that are not given", async () => {
  const session = await runtime.session(graph());
  const negative = floats(0, 0, 0);
  for (const only of [["negative"], ["negative", "above"], ["negative", "places"]]) {
    negative.data.fill(0);
    const results = await session.run({ x: floats(1, 2, 3) }, { only, into: { negative } });
    expect(results.negative).toBe(negative);
    expect(negative.data).toEqual(Float32Array.of(-1, -2, -3));
    expect(Object.keys(results).sort()).toEqual([...only].sort());
  }
  await session.release();
});

test("each run has arrays of its own", async () => {
  const session = await runtime.session(graph());
  const first = await session.run({ x: floats(1, 2, 3) });
  await session.run({ x: floats(4, 5, 6) });
  expect(first.negative!.data).toEqual(Float32Array.of(-1, -2, -3));
  await session.release();
});

test("large outputs are not copied", async () => {
  const size = 2 ** 24;
  const b = new GraphBuilder();
  b.named("Relu", [b.input("x", [size])], "y");
  b.output("y", { dims: [size] });
  const session = await runtime.session(b.graph);
  const x = new Tensor("float32", new Float32Array(size).fill(1), [size]);
  const y = new Tensor("float32", new Float32Array(size), [size]);
  await session.run({ x }, { into: { y } });
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 4; i++) await session.run({ x }, { into: { y } });
  // A copy would be 64 MiB a run.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25);
  expect((y.data as Float32Array).every((v) => v === 1)).toBe(true);
  await session.release();
});

test("a run that fails says why", async () => {
  const session = await runtime.session(graph());
  await expect(session.run({ x: floats(1, 2) })).rejects.toThrow(/invalid dimensions|Got/i);
  await expect(
    session.run({ x: floats(1, 2, 3) }, { only: ["negative"], into: { negative: floats(0, 0) } }),
  ).rejects.toThrow();
  await session.release();
});

test("an output that is an input or a constant is written as well", async () => {
  const b = new GraphBuilder();
  b.input("x", [3]);
  b.named("Identity", ["x"], "same");
  b.named("Add", [b.floats([3], Float32Array.of(1, 2, 3)), b.scalar(1)], "constant");
  for (const name of ["same", "constant"]) b.output(name, { dims: [3] });
  const session = await runtime.session(b.graph);
  for (let run = 0; run < 3; run++) {
    const into = { same: floats(0, 0, 0), constant: floats(0, 0, 0) };
    await session.run({ x: floats(7, 8, run) }, { into });
    expect(into.same.data).toEqual(Float32Array.of(7, 8, run));
    expect(into.constant.data).toEqual(Float32Array.of(2, 3, 4));
  }
  await session.release();
});

test("a shape that depends on the run is that of the tensor that is given, or found by the run", async () => {
  const b = new GraphBuilder();
  b.named("Neg", [b.input("x", ["n"])], "y");
  b.output("y", { dims: ["n"] });
  const session = await runtime.session(b.graph);
  for (const values of [[1], [2, 3], [4, 5, 6]]) {
    const expected = Float32Array.from(values, (v) => -v);
    const y = floats(...values.map(() => 0));
    await session.run({ x: floats(...values) }, { into: { y } });
    expect(y.data).toEqual(expected);
    expect((await session.run({ x: floats(...values) })).y!.data).toEqual(expected);
  }
  await session.release();
});

test("where ONNX Runtime infers a wrong shape, the right one comes", async () => {
  const b = new GraphBuilder();
  const x = b.input("x", [1, 1, 3, 4]);
  const attributes = {
    kernel_shape: ints([1, 1]),
    strides: ints([1, 2]),
    ceil_mode: int(1),
    auto_pad: text("VALID"),
  };
  b.named("MaxPool", [x], "y", attributes);
  b.output("y", { dims: [] });
  const session = await runtime.session(b.graph);
  for (let run = 0; run < 2; run++) {
    const image = new Tensor(
      "float32",
      Float32Array.from({ length: 12 }, (_, i) => i + run),
      [1, 1, 3, 4],
    );
    const { y } = await session.run({ x: image });
    expect(Array.from(y!.data as Float32Array)).toEqual([0, 2, 4, 6, 8, 10].map((v) => v + run));
  }
  await session.release();
});
