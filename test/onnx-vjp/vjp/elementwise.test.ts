import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, float } from "../../../src/onnx-vjp/graph/ir.ts";
import { array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { awayFrom, broadcastableShapes, shapes, zip } from "../../support/reference.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0);
/** erf by its Taylor series, which converges everywhere and is exact to double for |x| < 3. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

interface UnaryCase {
  readonly op: string;
  readonly f: (x: number) => number;
  readonly attributes?: Attributes;
  /** Points that inputs keep away from, because f has a kink or leaves its domain there. */
  readonly kinks?: readonly number[];
  readonly scale?: number;
  readonly positive?: boolean;
}

const selu = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };
const elu = (x: number, alpha: number) => (x > 0 ? x : alpha * Math.expm1(x));

const unary: readonly UnaryCase[] = [
  { op: "Identity", f: (x) => x },
  { op: "Dropout", f: (x) => x },
  { op: "Neg", f: (x) => -x },
  { op: "Abs", f: Math.abs, kinks: [0] },
  { op: "Sqrt", f: Math.sqrt, positive: true },
  { op: "Reciprocal", f: (x) => 1 / x, kinks: [0], scale: 3 },
  { op: "Exp", f: Math.exp },
  { op: "Log", f: Math.log, positive: true },
  { op: "Sin", f: Math.sin, scale: 6 },
  { op: "Cos", f: Math.cos, scale: 6 },
  { op: "Tanh", f: Math.tanh },
  { op: "Sigmoid", f: sigmoid, scale: 5 },
  { op: "Erf", f: erf },
  { op: "Relu", f: (x) => Math.max(x, 0), kinks: [0] },
  { op: "LeakyRelu", f: (x) => (x > 0 ? x : 0.01 * x), kinks: [0] },
  { op: "LeakyRelu", f: (x) => (x > 0 ? x : 0.3 * x), attributes: { alpha: float(0.3) }, kinks: [0] },
  { op: "LeakyRelu", f: (x) => (x > 0 ? x : -0.5 * x), attributes: { alpha: float(-0.5) }, kinks: [0] },
  { op: "Elu", f: (x) => elu(x, 1), kinks: [0] },
  { op: "Elu", f: (x) => elu(x, 0.5), attributes: { alpha: float(0.5) }, kinks: [0] },
  { op: "Selu", f: (x) => selu.gamma * elu(x, selu.alpha), kinks: [0] },
  {
    op: "Celu",
    f: (x) => (x > 0 ? x : 1.5 * Math.expm1(x / 1.5)),
    attributes: { alpha: float(1.5) },
    kinks: [0],
  },
  { op: "ThresholdedRelu", f: (x) => (x > 0.5 ? x : 0), attributes: { alpha: float(0.5) }, kinks: [0.5] },
  { op: "Softplus", f: softplus, scale: 5 },
  { op: "Softsign", f: (x) => x / (1 + Math.abs(x)), scale: 3 },
  { op: "HardSigmoid", f: (x) => Math.min(Math.max(0.2 * x + 0.5, 0), 1), kinks: [-2.5, 2.5], scale: 4 },
  {
    op: "HardSigmoid",
    f: (x) => Math.min(Math.max(x / 6 + 0.5, 0), 1),
    attributes: { alpha: float(1 / 6), beta: float(0.5) },
    kinks: [-3, 3],
    scale: 5,
  },
  { op: "HardSwish", f: (x) => x * Math.min(Math.max(x / 6 + 0.5, 0), 1), kinks: [-3, 3], scale: 5 },
  { op: "Mish", f: (x) => x * Math.tanh(softplus(x)), scale: 4 },
];

describe("elementwise rules of one input", () => {
  it.each(unary)("$op $attributes", async ({ op, f, attributes, kinks, scale, positive }) => {
    await fc.assert(
      fc.asyncProperty(shapes(), fc.nat(), async (dims, seed) => {
        const drawn = awayFrom(positive ? [0] : (kinks ?? []), dims, seed, scale);
        const x = positive ? array64(dims, drawn.data.map(Math.abs)) : drawn;
        await checkRule({
          op,
          ...(attributes ? { attributes } : {}),
          inputs: [{ ...x, variable: true }],
          reference: ([a]) => zip(f, a!),
          seed,
        });
      }),
      { numRuns: 8 },
    );
  });
});

interface BinaryCase {
  readonly op: string;
  readonly f: (x: number, y: number) => number;
  /** The domain of each input: any number, nonzero, or positive. */
  readonly domains?: readonly ("any" | "nonzero" | "positive")[];
}

const binary: readonly BinaryCase[] = [
  { op: "Add", f: (x, y) => x + y },
  { op: "Sub", f: (x, y) => x - y },
  { op: "Mul", f: (x, y) => x * y },
  { op: "Div", f: (x, y) => x / y, domains: ["any", "nonzero"] },
  { op: "Pow", f: (x, y) => x ** y, domains: ["positive", "any"] },
];

function draw(domain: "any" | "nonzero" | "positive", dims: readonly number[], seed: number) {
  const x = awayFrom(domain === "any" ? [] : [0], dims, seed, 2, 0.3);
  return domain === "positive" ? array64(dims, x.data.map(Math.abs)) : x;
}

describe("elementwise rules of two inputs", () => {
  it.each(binary)("$op sums its cotangents over broadcast axes", async ({ op, f, domains }) => {
    await fc.assert(
      fc.asyncProperty(
        broadcastableShapes(2),
        fc.constantFrom([true, true], [true, false], [false, true]),
        fc.nat(),
        async (dims, variable, seed) => {
          const input = (i: number) => ({
            ...draw(domains?.[i] ?? "any", dims[i], seed + i),
            variable: variable[i],
          });
          await checkRule({ op, inputs: [input(0), input(1)], reference: ([x, y]) => zip(f, x!, y!), seed });
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([2, 3, 0.5, -1, -0.5, 1, 0, 1.7])("Pow with the constant exponent %d", async (p) => {
    await fc.assert(
      fc.asyncProperty(shapes(), fc.constantFrom("float32", "int64"), fc.nat(), async (dims, dtype, seed) => {
        fc.pre(dtype === "float32" || Number.isInteger(p));
        await checkRule({
          op: "Pow",
          inputs: [
            { ...draw("positive", dims, seed), variable: true },
            { ...array64([], [Math.fround(p)]), dtype: dtype as "float32" | "int64" },
          ],
          reference: ([x]) => zip((v) => v ** Math.fround(p), x!),
          seed,
        });
      }),
      { numRuns: 6 },
    );
  });

  it.each([false, true])("Pow of 0 with exponents of 0 and above, computed: %s", async (computed) => {
    const b = new GraphBuilder();
    const x = b.input("x", [4]);
    const exponents = [0, 1, 2, 3];
    const p = computed ? b.input("p", [4]) : b.floats([4], exponents);
    b.output(b.op("Pow", [x, p]), { dims: [4] });
    const inputs = { x: array64([4]), ...(computed ? { p: array64([4], exponents) } : {}) };
    const ones = array64([4], [1, 1, 1, 1]);
    const { gradients } = await pullbackOf(b.graph, inputs, ["x"], [ones]);
    expect([...gradients[0]]).toEqual([0, 1, 0, 0]);
  });

  it("Pow of a negative base with an integer exponent", async () => {
    await checkRule({
      op: "Pow",
      inputs: [{ ...array64([4], [-1.5, -0.25, 0.75, 2]), variable: true }, array64([], [4])],
      reference: ([x]) => zip((v) => v ** 4, x!),
    });
  });

  it.each(["Mul", "Add", "Sub", "Div", "Min", "Max"])("%s of a value with itself", async (op) => {
    const f = { Mul: 2, Add: 2, Sub: 0, Div: 0, Min: 1, Max: 1 }[op]!;
    const b = new GraphBuilder();
    const x = b.input("x", [3]);
    b.output(b.op(op, [x, x]), { dims: [3] });
    const values = [0.5, -2, 3];
    const ones = array64([3], [1, 1, 1]);
    const { gradients } = await pullbackOf(b.graph, { x: array64([3], values) }, ["x"], [ones]);
    const expected = op === "Mul" ? values.map((v) => f * v) : values.map(() => f);
    expect(gradients[0].map((v) => v + 0)).toEqual(expected);
  });

  it("PRelu with a slope that broadcasts to its input, which also gets a gradient", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes({ minLength: 2, maxLength: 3 }),
        fc.boolean(),
        fc.nat(),
        async ([n, ...rest], wide, seed) => {
          const random = randomNumbers(seed);
          await checkRule({
            op: "PRelu",
            inputs: [
              { ...awayFrom([0], [n!, ...rest], seed), variable: true },
              { ...randomArray(wide ? rest : [1], random), variable: true },
            ],
            reference: ([x, slope]) => zip((v, s) => (v > 0 ? v : s * v), x!, slope!),
            seed,
          });
        },
      ),
      { numRuns: 10 },
    );
  });
});

describe("elementwise rules that choose", () => {
  it("Where sends the cotangent to the branch that was taken", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastableShapes(3), fc.nat(), async ([condition, x, y], seed) => {
        const random = randomNumbers(seed);
        const mask = zip((v) => (v > 0 ? 1 : 0), randomArray(condition!, random));
        await checkRule({
          op: "Where",
          inputs: [
            { ...mask, dtype: "bool" },
            { ...randomArray(x!, random), variable: true },
            { ...randomArray(y!, random), variable: true },
          ],
          reference: ([c, a, b]) => zip((t, v, w) => (t ? v : w), c!, a!, b!),
          seed,
        });
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    { low: -0.5, high: 0.8 },
    { low: 0, high: 6 },
    { low: -0.3, high: undefined },
    { low: undefined, high: 0.4 },
    { low: -3.4028234663852886e38, high: 0.4 },
    { low: undefined, high: undefined },
  ])("Clip between $low and $high", async ({ low, high }) => {
    const bound = (v: number | undefined) =>
      v === undefined ? ("" as const) : array64([], [Math.fround(v)]);
    const [lo, hi] = [low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY];
    await fc.assert(
      fc.asyncProperty(shapes(), fc.nat(), async (dims, seed) => {
        const x = awayFrom(
          [lo, hi].map(Math.fround).filter((v) => Math.abs(v) < 10),
          dims,
          seed,
        );
        await checkRule({
          op: "Clip",
          inputs: [{ ...x, variable: true }, bound(low), bound(high)],
          reference: ([a]) => zip((v) => Math.min(Math.max(v, Math.fround(lo)), Math.fround(hi)), a!),
          seed,
        });
      }),
      { numRuns: 6 },
    );
  });

  it.each([
    { op: "Min", f: Math.min },
    { op: "Max", f: Math.max },
  ])("$op sends the cotangent to the input that attains it", async ({ op, f }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }).chain((n) => broadcastableShapes(n)),
        fc.nat(),
        async (dims, seed) => {
          // Inputs on interleaved lattices: no two are ever closer than the step of the differences.
          const random = randomNumbers(seed);
          const inputs = dims.map((d, i) => ({
            ...zip((v) => Math.round(v * 8) / 4 + i / 16, randomArray(d, random)),
            variable: true,
          }));
          await checkRule({ op, inputs, reference: (xs) => zip(f, ...xs), seed });
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("element types", () => {
  it("Cast carries the cotangent back to the type of its input, and float64 stays float64", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [2], "float64");
    const y = b.op("Sigmoid", [b.op("Relu", [b.op("Pow", [x, b.scalar(3, "float64")])])]);
    const z = b.op("Cast", [y], { to: { kind: "int", value: 1 } });
    b.output(z, { dims: [2] });
    const values = [0.5, 1.25];
    const cotangent = array64([2], [1, 2]);
    const { gradients } = await pullbackOf(b.graph, { x: array64([2], values) }, ["x"], [cotangent]);
    const expected = values.map((v, i) => {
      const s = sigmoid(v ** 3);
      return (i + 1) * s * (1 - s) * 3 * v ** 2;
    });
    for (const [i, e] of expected.entries()) expect(gradients[0][i]).toBeCloseTo(e, 12);
  });
});
