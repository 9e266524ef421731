import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int } from "../../../src/onnx-vjp/graph/ir.ts";
import { alongAxes } from "../../support/along-axes.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { awayFrom, broadcastableShapes, build, shapes, zip } from "../../support/reference.ts";

/** Reduces `axes` of `x` by `f` of the elements that fall together. */
function reduce(
  x: Array64,
  axes: readonly number[],
  keep: boolean,
  f: (values: number[]) => number,
): Array64 {
  const groups = new Map<string, number[]>();
  build(x.dims, (index) => {
    const key = index.map((v, i) => (axes.includes(i) ? 0 : v)).join();
    const offset = index.reduce((sum, v, i) => sum * x.dims[i] + v, 0);
    groups.set(key, [...(groups.get(key) ?? []), x.data[offset]]);
    return 0;
  });
  const kept = x.dims.map((d, i) => (axes.includes(i) ? 1 : d));
  const full = build(kept, (index) => f(groups.get(index.join())!));
  return array64(keep ? kept : x.dims.filter((_, i) => !axes.includes(i)), full.data);
}

const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
const cases = [
  { op: "ReduceSum", f: sum },
  { op: "ReduceMean", f: (v: number[]) => sum(v) / v.length },
  { op: "ReduceSumSquare", f: (v: number[]) => sum(v.map((x) => x * x)) },
  { op: "ReduceProd", f: (v: number[]) => v.reduce((a, b) => a * b, 1) },
  { op: "ReduceL1", f: (v: number[]) => sum(v.map(Math.abs)) },
  { op: "ReduceL2", f: (v: number[]) => Math.hypot(...v) },
  { op: "ReduceLogSumExp", f: (v: number[]) => Math.log(sum(v.map(Math.exp))) },
  { op: "ReduceLogSum", f: (v: number[]) => Math.log(sum(v)), positive: true },
  { op: "ReduceMax", f: (v: number[]) => Math.max(...v), distinct: true },
  { op: "ReduceMin", f: (v: number[]) => Math.min(...v), distinct: true },
];

const reductions = shapes({ minLength: 1, max: 3 }).chain((dims) =>
  fc.record({
    dims: fc.constant(dims),
    axes: fc.subarray([...dims.keys()]),
    fromEnd: fc.boolean(),
    keep: fc.boolean(),
    seed: fc.nat(),
  }),
);

describe("rules of reductions", () => {
  it.each(cases)(
    "$op over any axes, and over all where none are given",
    async ({ op, f, positive, distinct }) => {
      await fc.assert(
        fc.asyncProperty(reductions, async ({ dims, axes, fromEnd, keep, seed }) => {
          const drawn = awayFrom([0], dims, seed, 2, 0.1);
          // For an extremum, numbers that differ by more than the step of the differences.
          const x = distinct
            ? build(dims, (i) => i.reduce((key, v) => key * 5 + v * 7 + seed, 0) % 1009)
            : array64(dims, positive ? drawn.data.map(Math.abs) : drawn.data);
          fc.pre(!distinct || new Set(x.data).size === x.data.length);
          const given = axes.map((a) => (fromEnd ? a - dims.length : a));
          const effective = axes.length === 0 ? [...dims.keys()] : axes;
          await checkRule({
            op,
            attributes: { keepdims: int(keep ? 1 : 0) },
            inputs: [
              { ...x, variable: true },
              axes.length === 0 ? "" : { ...array64([axes.length], given), dtype: "int64" },
            ],
            reference: ([a]) => reduce(a!, effective, keep, f),
            seed,
          });
        }),
        { numRuns: 15 },
      );
    },
  );

  it.each([
    [
      [0, 2, 3],
      [6, 0, 0],
    ],
    [
      [0, 2, 0],
      [0, 0, 0],
    ],
    [
      [-1, 2, 3],
      [6, -3, -2],
    ],
  ])("ReduceProd of %j is the product of the others: %j", async (values, expected) => {
    const b = new GraphBuilder();
    const x = b.input("x", [3]);
    b.output(b.op("ReduceProd", [x]), { dims: [1] });
    const { gradients } = await pullbackOf(b.graph, { x: array64([3], values) }, ["x"], [array64([1], [1])]);
    // −0 is 0 here.
    expect(gradients[0].map((v) => v + 0)).toEqual(expected);
  });

  it("CumSum along any axis, from either end, with or without the element itself", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes({ minLength: 1, max: 3 }),
        fc.nat(),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.nat(),
        async (dims, pick, fromEnd, exclusive, reverse, seed) => {
          const axis = pick % dims.length;
          await checkRule({
            op: "CumSum",
            attributes: { exclusive: int(exclusive ? 1 : 0), reverse: int(reverse ? 1 : 0) },
            inputs: [
              { ...randomArray(dims, randomNumbers(seed)), variable: true },
              { ...array64([], [fromEnd ? axis - dims.length : axis]), dtype: "int64" },
            ],
            reference: ([x]) =>
              alongAxes(x!, [axis], (slice) =>
                slice.map(
                  (v, i) => sum(reverse ? slice.slice(i) : slice.slice(0, i + 1)) - (exclusive ? v : 0),
                ),
              ),
            seed,
          });
        },
      ),
      { numRuns: 15 },
    );
  });

  it.each(cases)(
    "$op of each element by itself, with no axes and noop_with_empty_axes",
    async ({ op, f, positive }) => {
      const { dims, data } = awayFrom([0], [2, 3], 1, 2, 0.1);
      await checkRule({
        op,
        attributes: { noop_with_empty_axes: int(1) },
        inputs: [{ ...array64(dims, positive ? data.map(Math.abs) : data), variable: true }],
        reference: ([x]) => reduce(x!, [], true, f),
      });
    },
  );

  it.each(["ReduceMax", "ReduceMin"])("%s shares the cotangent evenly among equal extrema", async (op) => {
    const b = new GraphBuilder();
    const x = b.input("x", [2, 3]);
    b.output(b.op(op, [x, b.ints([1])], { keepdims: int(0) }), { dims: [2] });
    const values = array64([2, 3], [1, 1, 1, 4, -4, op === "ReduceMax" ? 4 : -4]);
    const { gradients } = await pullbackOf(b.graph, { x: values }, ["x"], [array64([2], [3, 1])]);
    expect(gradients[0]).toEqual(op === "ReduceMax" ? [1, 1, 1, 0.5, 0, 0.5] : [1, 1, 1, 0, 0.5, 0.5]);
  });

  it("ReduceL2 has no gradient at the origin, and no NaN", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [3]);
    b.output(b.op("ReduceL2", [x]), { dims: [1] });
    const { gradients } = await pullbackOf(b.graph, { x: array64([3]) }, ["x"], [array64([1], [1])]);
    expect(gradients[0]).toEqual([0, 0, 0]);
  });

  it.each([
    { op: "Sum", share: () => 1 },
    { op: "Mean", share: (n: number) => 1 / n },
  ])("$op of several broadcast inputs", async ({ op, share }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }).chain((n) => broadcastableShapes(n)),
        fc.nat(),
        async (dims, seed) => {
          await checkRule({
            op,
            inputs: dims.map((d, i) => ({ ...randomArray(d, randomNumbers(seed + i)), variable: true })),
            reference: (xs) => zip((...v) => sum(v) * share(v.length), ...xs),
            seed,
          });
        },
      ),
      { numRuns: 12 },
    );
  });

  it.each([0, 1])(
    "TopK (largest = %d) gives the cotangent to the elements that it chose",
    async (largest) => {
      const dims = [2, 5];
      const k = 3;
      const x = array64(dims, [3, -1, 4, 1.5, -5, 9, -2.5, 6, 5, -3.5]);
      await checkRule({
        op: "TopK",
        attributes: { largest: int(largest) },
        inputs: [
          { ...x, variable: true },
          { ...array64([1], [k]), dtype: "int64" },
        ],
        outputs: 2,
        reference: ([a]) => {
          const rows = [0, 1].map((r) =>
            Array.from(a!.data.slice(5 * r, 5 * r + 5)).sort((p, q) => (largest ? q - p : p - q)),
          );
          return build([2, k], ([i, j]) => rows[i!][j!]!);
        },
      });
    },
  );
});
