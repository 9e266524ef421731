import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, sizeOf } from "../../../src/onnx-vjp/graph/ir.ts";
import { writeOnnx } from "../../../src/onnx-vjp/graph/write-onnx.ts";
import {
  coverage,
  differentiableOperators,
  hasRule,
  load,
  ModelError,
  NoRuleError,
  ShapeError,
  UnreachedInputError,
  UsageError,
} from "../../../src/onnx-vjp/index.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { centralDifferences } from "../../support/finite-differences.ts";

/** y = tanh(a·B), z = Σ_rows a ∘ s: two inputs that share a first dimension with nothing, and two outputs. */
function twoByTwo(): Uint8Array {
  const b = new GraphBuilder();
  const a = b.input("a", ["rows", 3]);
  const m = b.input("b", [3, "columns"]);
  const s = b.input("s", []);
  b.named("Tanh", [b.op("MatMul", [a, m])], "y");
  b.named("ReduceSum", [b.op("Mul", [a, s]), b.ints([0])], "z", { keepdims: int(0) });
  b.output("y", { dims: ["rows", "columns"] });
  b.output("z", { dims: [3] });
  return writeOnnx(b.graph).model;
}

/** The same in double, as the sum of its products with two cotangents. */
const [rows, inner, columns] = [5, 3, 2];
function paired(a: Float64Array, b: Float64Array, s: number, v: Float64Array, w: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let product = 0;
      for (let k = 0; k < inner; k++) product += a[i * inner + k] * b[k * columns + j];
      sum += v[i * columns + j] * Math.tanh(product);
    }
    for (let k = 0; k < inner; k++) sum += w[k] * a[i * inner + k] * s;
  }
  return sum;
}

const random = randomNumbers(11);
const numbers = (...dims: number[]) => randomArray(dims, random).data;
const single = (dims: number[], data: Float64Array) => ({ dims, data: Float32Array.from(data) });
const a = numbers(rows, inner);
const b = numbers(inner, columns);
const s = 0.7;
const inputs = {
  a: single([rows, inner], a),
  b: single([inner, columns], b),
  s: { dims: [], data: Float32Array.of(s) },
};

describe("the vector–Jacobian product of a model with several inputs and outputs", () => {
  it.each(["save", "recompute"] as const)("is that of central differences (%s)", async (activations) => {
    const model = await load(twoByTwo(), { threads: 1, activations });
    try {
      const { outputs, vjp } = await model.vjp(inputs);
      expect(outputs.y!.dims).toEqual([rows, columns]);
      expect(outputs.z!.dims).toEqual([inner]);
      for (const _ of [1, 2]) {
        const [v, w] = [numbers(rows, columns), numbers(inner)];
        const gradients = await vjp({ y: Float32Array.from(v), z: single([inner], w) });
        const expected = {
          a: centralDifferences((x) => paired(x, b, s, v, w), a),
          b: centralDifferences((x) => paired(a, x, s, v, w), b),
          s: centralDifferences((x) => paired(a, b, x[0], v, w), Float64Array.of(s)),
        };
        for (const [name, gradient] of Object.entries(expected)) {
          expect(gradients[name].dims).toEqual(inputs[name as "a"].dims);
          expect(relativeError(gradients[name].data, gradient)).toBeLessThan(1e-5);
        }
      }
    } finally {
      await model.release();
    }
  });

  it("takes the cotangent of an output that is not named as zero, and has zeros where nothing depends", async () => {
    const model = await load(twoByTwo(), { threads: 1, output: "y" });
    expect(model.inputs.map(({ name }) => name)).toEqual(["a", "b"]);
    const both = await load(twoByTwo(), { threads: 1 });
    const v = numbers(rows, columns);
    const alone = await (await model.vjp({ a: inputs.a, b: inputs.b })).vjp(v);
    const rest = await (await both.vjp(inputs)).vjp({ y: v });
    expect(relativeError(rest.a!.data, alone.a!.data)).toBeLessThan(1e-6);
    expect(rest.s!.data).toEqual(Float32Array.of(0));
    await Promise.all([model.release(), both.release()]);
  });

  it("is not changed by what is written into inputs and outputs between the two calls", async () => {
    const model = await load(twoByTwo(), { threads: 1 });
    const given = { ...inputs, a: { ...inputs.a, data: inputs.a.data.slice() } };
    const { outputs, vjp } = await model.vjp(given);
    const v = { y: numbers(rows, columns), z: numbers(inner) };
    const before = await vjp(v);
    given.a.data.fill(0);
    outputs.y!.data.fill(0);
    expect(await vjp(v)).toEqual(before);
    await model.release();
  });

  it("is compiled for each combination of shapes, and again after a release", async () => {
    await using model = await load(twoByTwo(), { threads: 1, output: "z", inputs: "a" });
    for (const count of [1, 4, 1]) {
      const x = { dims: [count, inner], data: Float32Array.from(numbers(count, inner)) };
      await using at = await model.vjp({ a: x, s: inputs.s });
      const { a: gradient } = await at.vjp([1, 2, 3]);
      const row = [1, 2, 3].map((w) => Math.fround(w * Math.fround(s)));
      expect([...gradient!.data]).toEqual(Array.from({ length: count }, () => row).flat());
      if (count === 4) await model.release();
    }
  });

  it("can be of a tensor inside the model, and of double precision", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [2], "float64");
    b.named("Exp", [x], "inside");
    b.output(b.op("Neg", ["inside"]), { dims: [2], dtype: "float64" }, "y");
    await using model = await load(writeOnnx(b.graph).model, { output: "inside" });
    const { output, vjp } = await model.vjp({ x: { dims: [2], data: Float64Array.of(0.1, 0.2) } });
    expect(relativeError(output.data, [Math.exp(0.1), Math.exp(0.2)])).toBeLessThan(1e-15);
    const { x: gradient } = await vjp([2, 3]);
    expect(gradient!.data).toBeInstanceOf(Float64Array);
    expect(relativeError(gradient!.data, [2 * Math.exp(0.1), 3 * Math.exp(0.2)])).toBeLessThan(1e-15);
  });

  it("takes inputs of whole numbers beside those that it is differentiated with respect to", async () => {
    const b = new GraphBuilder();
    const table = b.input("table", [4, 2]);
    b.output(b.op("Gather", [table, b.input("rows", ["n"], "int64")]), { dims: ["n", 2] }, "y");
    await using model = await load(writeOnnx(b.graph).model);
    expect(model.wrt).toEqual(["table"]);
    const { vjp } = await model.vjp({
      table: { dims: [4, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      rows: { dims: [3], data: BigInt64Array.of(3n, 0n, 3n) },
    });
    expect([...(await vjp([1, 2, 3, 4, 5, 6])).table!.data]).toEqual([3, 4, 0, 0, 0, 0, 6, 8]);
  });
});

describe("the gradient of a scalar", () => {
  /** Σ log cosh x. */
  function loss(dims: readonly number[]): Uint8Array {
    const b = new GraphBuilder();
    const x = b.input("x", dims);
    const cosh = b.op("Mul", [
      b.op("Add", [b.op("Exp", [x]), b.op("Exp", [b.op("Neg", [x])])]),
      b.scalar(0.5),
    ]);
    b.output(b.op("ReduceSum", [b.op("Log", [cosh])], { keepdims: int(0) }), { dims: [] }, "loss");
    return writeOnnx(b.graph).model;
  }

  it("comes with the value", async () => {
    await using model = await load(loss([2, 3]));
    const x = numbers(2, 3);
    const { value, gradients } = await model.grad({ x: single([2, 3], x) });
    expect(value).toBeCloseTo(
      x.reduce((sum, v) => sum + Math.log(Math.cosh(v)), 0),
      5,
    );
    expect(relativeError(gradients.x!.data, x.map(Math.tanh))).toBeLessThan(1e-5);
  });

  it("is refused for an output of several numbers, and for several outputs", async () => {
    await using model = await load(twoByTwo(), { threads: 1 });
    await expect(model.grad(inputs)).rejects.toThrow(/single output of one number.*"y" \[5, 2\], "z" \[3\]/);
  });
});

describe("a model without a gradient", () => {
  /** x → Sigmoid "soft" → inverse → y. */
  function withInverse(): Uint8Array {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", 2, 2]);
    b.named("Sigmoid", [x], "soft");
    const inverse = b.op("Inverse", ["soft"], {}, "com.microsoft");
    b.output(b.op("Exp", [inverse]), { dims: ["n", 2, 2] }, "y");
    return writeOnnx(b.graph).model;
  }
  const x = { dims: [1, 2, 2], data: Float32Array.of(1, 2, 3, 4) };

  it("is refused naming the nodes, as data too, and runs forward", async () => {
    await using model = await load(withInverse());
    const refused = model.vjp({ x });
    await expect(refused).rejects.toThrow(NoRuleError);
    await expect(refused).rejects.toThrow('No pullback rule for com.microsoft.Inverse "Inverse_0"');
    await expect(refused).rejects.toMatchObject({
      nodes: [{ op: "com.microsoft.Inverse", name: "Inverse_0" }],
    });
    expect((await model.run({ x })).y!.dims).toEqual([1, 2, 2]);
  });

  it("is covered up to a tensor before them", async () => {
    expect(await coverage(withInverse())).toMatchObject({
      differentiable: false,
      blocking: [{ op: "com.microsoft.Inverse", name: "Inverse_0" }],
      operators: expect.arrayContaining([
        { op: "com.microsoft.Inverse", count: 1, rule: false },
        { op: "Exp", count: 1, rule: true },
      ]),
    });
    const soft = await coverage(withInverse(), { output: "soft" });
    expect(soft).toEqual({
      differentiable: true,
      blocking: [],
      operators: [{ op: "Sigmoid", count: 1, rule: true }],
    });
  });

  it("is refused where no output depends on an input", async () => {
    const b = new GraphBuilder();
    b.output(b.op("Floor", [b.input("x", [2])]), { dims: [2] }, "y");
    await using model = await load(writeOnnx(b.graph).model);
    const refused = model.vjp({ x: { dims: [2], data: new Float32Array(2) } });
    await expect(refused).rejects.toThrow(UnreachedInputError);
  });

  it("is refused for inputs, outputs, numbers and cotangents that do not fit", async () => {
    await using model = await load(twoByTwo(), { threads: 1 });
    await expect(load(twoByTwo(), { output: "q" })).rejects.toThrow(
      /no output or other tensor "q".*"y", "z"/,
    );
    await expect(load(twoByTwo(), { inputs: "q" })).rejects.toThrow(/no input "q"/);
    await expect(load(Uint8Array.of(1, 2, 3))).rejects.toThrow(ModelError);
    await expect(load(join(tmpdir(), "not-there.onnx"))).rejects.toThrow(/cannot be read/);
    await expect(load(twoByTwo(), { precision: "float16" })).rejects.toThrow(UsageError);
    await expect(model.vjp({ a: inputs.a })).rejects.toThrow('takes "a", "b", "s"; given were "a"');
    await expect(model.vjp({ ...inputs, q: inputs.a })).rejects.toThrow(UsageError);
    const wide = { dims: [rows, 4], data: new Float32Array(4 * rows) };
    await expect(model.vjp({ ...inputs, a: wide })).rejects.toThrow(/"a" .*\[5, 4\]. Expected \[rows, 3\]/);
    const short = { dims: [rows, inner], data: new Float32Array(2) };
    await expect(model.vjp({ ...inputs, a: short })).rejects.toThrow(ShapeError);
    const double = { dims: [rows, inner], data: new Float64Array(rows * inner) };
    await expect(model.vjp({ ...inputs, a: double })).rejects.toThrow(/Float64Array. Expected Float32Array/);
    const { vjp } = await model.vjp(inputs);
    await expect(vjp(new Float32Array(10))).rejects.toThrow(/"y", "z": give their cotangents by name/);
    await expect(vjp({ y: new Float32Array(9) })).rejects.toThrow(ShapeError);
    await expect(vjp({ y: { dims: [columns, rows], data: new Float32Array(10) } })).rejects.toThrow(
      ShapeError,
    );
    await expect(vjp({ q: new Float32Array(9) })).rejects.toThrow(UsageError);
  });
});

describe("the list of operators", () => {
  it("has those with rules and those that are rewritten, and none that is refused", () => {
    expect(hasRule("Conv")).toBe(true);
    expect(hasRule("com.microsoft.Gelu")).toBe(true);
    expect(differentiableOperators().get("HardSwish")).toBeDefined();
    expect(differentiableOperators().get("LSTM")).toBe("rewritten");
    expect(differentiableOperators().get("Loop")).toBe("rewritten");
    for (const op of ["com.microsoft.Inverse", "QLinearConv", "NonMaxSuppression", "constructor", ""])
      expect(hasRule(op)).toBe(false);
  });
});

describe("a model in a file", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "onnx-vjp-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("is read with the weights beside it", async () => {
    const b = new GraphBuilder();
    const weight = numbers(3, 2);
    b.output(b.op("MatMul", [b.input("x", ["n", 3]), b.floats([3, 2], weight)]), { dims: ["n", 2] }, "y");
    const { model, external } = writeOnnx(b.graph, { externalFrom: 1 });
    await writeFile(join(folder, "m.onnx"), model);
    for (const { path, data } of external) await writeFile(join(folder, path), data);
    await using loaded = await load(join(folder, "m.onnx"));
    const { vjp } = await loaded.vjp({ x: { dims: [1, 3], data: new Float32Array(sizeOf([1, 3])) } });
    const { x: gradient } = await vjp([1, 0]);
    expect(relativeError(gradient!.data, [weight[0], weight[2], weight[4]])).toBeLessThan(1e-6);
    await expect(load(model)).rejects.toThrow("Pass the model by its path");
  });
});
