import { Tensor } from "onnxruntime-common";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, ints, text } from "../../../src/onnx-vjp/graph/ir.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });

// Small outputs are copied by the binding, large ones are written where they are wanted.
describe.each([1, 5000])("%i numbers for each one", (times) => {
  const many = (...values: number[]) =>
    Float32Array.from({ length: values.length * times }, (_, i) => values[i % values.length]);
  const tensor = (...values: number[]) => new Tensor("float32", many(...values), [values.length * times]);
  const size = 3 * times;

  /** −x, its comparison with 0, and its non-zero places, whose number no shape tells. */
  function session() {
    const b = new GraphBuilder();
    const x = b.input("x", [size]);
    b.named("Neg", [x], "negative");
    b.named("Greater", [x, b.scalar(0)], "above");
    b.named("NonZero", [x], "places");
    b.output("negative", { dims: [size] });
    b.output("above", { dims: [size], dtype: "bool" });
    b.output("places", { dims: [1, "n"], dtype: "int64" });
    return runtime.session(b.graph);
  }

  test("outputs of every kind come under their names, those alone that were asked for", async () => {
    const s = await session();
    expect(s.graph.outputs).toEqual(["negative", "above", "places"]);
    const all = await s.run({ x: tensor(1, 0, -2) });
    expect(all.negative!.data).toEqual(many(-1, -0, 2));
    expect(Float32Array.from(all.above!.data as Uint8Array)).toEqual(many(1, 0, 0));
    expect(all.places!.dims).toEqual([1, 2 * times]);
    for (let run = 0; run < 2; run++) {
      const some = await s.run({ x: tensor(3, -4, 5 + run) }, { only: ["negative"] });
      expect(Object.keys(some)).toEqual(["negative"]);
      expect(some.negative!.data).toEqual(many(-3, 4, -5 - run));
    }
    await s.release();
  });

  test("a given tensor is written to and handed back, beside outputs that are not given", async () => {
    const s = await session();
    const negative = tensor(0, 0, 0);
    for (const only of [["negative"], ["negative", "above"], ["negative"], ["negative", "places"]]) {
      negative.data.fill(0);
      const results = await s.run({ x: tensor(1, 2, 3) }, { only, into: { negative } });
      expect(results.negative).toBe(negative);
      expect(negative.data).toEqual(many(-1, -2, -3));
      expect(Object.keys(results).sort()).toEqual([...only].sort());
    }
    await s.release();
  });

  test("each run has its own arrays", async () => {
    const s = await session();
    const kept: Tensor[] = [];
    for (const v of [1, 2, 3]) {
      kept.push((await s.run({ x: tensor(v, v, v) }, { only: ["negative"] })).negative!);
    }
    for (const [i, { data }] of kept.entries()) expect(data).toEqual(many(-1 - i, -1 - i, -1 - i));
    await s.release();
  });

  test("an output that is an input or a constant is written as well", async () => {
    const b = new GraphBuilder();
    b.input("x", [size]);
    b.named("Identity", ["x"], "same");
    b.named("Add", [b.floats([size], many(1, 2, 3)), b.scalar(1)], "constant");
    for (const name of ["same", "constant"]) b.output(name, { dims: [size] });
    const s = await runtime.session(b.graph);
    for (let run = 0; run < 3; run++) {
      const into = { same: tensor(0, 0, 0), constant: tensor(0, 0, 0) };
      await s.run({ x: tensor(7, 8, run) }, { into });
      expect(into.same.data).toEqual(many(7, 8, run));
      expect(into.constant.data).toEqual(many(2, 3, 4));
    }
    await s.release();
  });

  test("a shape that depends on the run is that of the tensor given, or found by the run", async () => {
    const b = new GraphBuilder();
    b.named("Neg", [b.input("x", ["n"])], "y");
    b.output("y", { dims: ["n"] });
    const s = await runtime.session(b.graph);
    for (const values of [
      [1, 1],
      [2, 3],
      [4, 5, 6],
    ]) {
      const expected = many(...values.map((v) => -v));
      const y = tensor(...values.map(() => 0));
      await s.run({ x: tensor(...values) }, { into: { y } });
      expect(y.data).toEqual(expected);
      expect((await s.run({ x: tensor(...values) })).y!.data).toEqual(expected);
    }
    await s.release();
  });

  test("where ONNX Runtime infers a wrong shape, the right one comes", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [times, 1, 3, 4]);
    const window = { kernel_shape: ints([1, 1]), strides: ints([1, 2]), ceil_mode: int(1) };
    b.named("MaxPool", [x], "y", { ...window, auto_pad: text("VALID") });
    b.output("y", { dims: [] });
    const s = await runtime.session(b.graph);
    for (let run = 0; run < 2; run++) {
      const image = Array.from({ length: 12 }, (_, i) => i + run);
      const { y } = await s.run({ x: new Tensor("float32", many(...image), [times, 1, 3, 4]) });
      expect(y!.data).toEqual(many(...image.filter((_, i) => i % 2 === 0)));
    }
    await s.release();
  });

  test("a run that fails says why, and the next one runs", async () => {
    const s = await session();
    await expect(s.run({ x: tensor(1, 2) })).rejects.toThrow(/invalid dimensions|Got/i);
    const only = ["negative"];
    for (let run = 0; run < 2; run++) {
      await expect(s.run({ x: tensor(1, 2, 3) }, { only, into: { negative: tensor(0, 0) } })).rejects.toThrow(
        /shape|numbers/i,
      );
    }
    expect((await s.run({ x: tensor(1, 2, 3) }, { only })).negative!.data).toEqual(many(-1, -2, -3));
    await s.release();
  });
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

test.each(["cuda", "webgpu"] as const)(
  "on a machine without it, the device %s is to be left out",
  async (device) => {
    const b = new GraphBuilder();
    b.output(b.op("Neg", [b.input("x", [2])]), { dims: [2] });
    await nodeRuntime({ device, threads: 1 })
      .session(b.graph)
      .then(
        (session) => session.release(),
        (error: Error) => {
          expect(error).toBeInstanceOf(UsageError);
          expect(error.message).toMatch(`The device ${device} cannot be used here: `);
          expect(error.message).toContain("It needs ");
          expect(error.message).not.toMatch(/onnxruntime_src|OrtSession|\n/);
        },
      );
  },
);
