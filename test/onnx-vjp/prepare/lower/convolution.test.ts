import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, int, ints, sizeOf, text } from "../../../../src/onnx-vjp/graph/ir.ts";
import { nodesWithoutRule } from "../../../../src/onnx-vjp/vjp/derive.ts";
import { type Array64, array64, randomArray, randomNumbers } from "../../../support/check-rule.ts";
import { pullbackOf } from "../../../support/pullback.ts";
import { expectSameAfterPreparing, resultsOf } from "../../../support/same-results.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0);

const perAxis = (rank: number, min: number, max: number) =>
  fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank });

/** Runs a one-node graph before and after lowering: ONNX Runtime itself is the reference. */
async function check(
  op: string,
  dims: readonly number[],
  attributes: Attributes,
  weight?: readonly number[],
  opset = 19,
) {
  const b = new GraphBuilder({ ...emptyGraph(), opset });
  const x = b.input("x", dims);
  const w = weight ? [b.floats(weight, randomArray(weight, randomNumbers(sizeOf(weight))).data)] : [];
  const y = b.op(op, [x, ...w], attributes);
  b.output(y, { dims: ["n", "c", ...dims.slice(2).map((_, i) => `d${i}`)] });
  const prepared = await expectSameAfterPreparing(b.graph);
  for (const node of prepared.nodes) {
    expect(node.attributes).not.toHaveProperty("auto_pad");
    expect(node.attributes).not.toHaveProperty("output_shape");
  }
  expect(nodesWithoutRule(prepared, ["x"], [y])).toEqual([]);
  return prepared;
}

const rank = fc.constantFrom(1, 2);
const autoPad = fc.constantFrom("SAME_UPPER", "SAME_LOWER", "VALID");

describe("lowering of padding", () => {
  it("Conv", async () => {
    const cases = rank.chain((r) =>
      fc.record({
        mode: autoPad,
        size: perAxis(r, 3, 8),
        kernel: perAxis(r, 1, 3),
        strides: perAxis(r, 1, 3),
        group: fc.constantFrom(1, 2),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ mode, size, kernel, strides, group }) => {
        const attributes = { auto_pad: text(mode), strides: ints(strides), group: int(group) };
        await check("Conv", [1, 4, ...size], attributes, [2, 4 / group, ...kernel]);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it("ConvTranspose, also to an output shape", async () => {
    const cases = rank.chain((r) =>
      fc.record({
        mode: fc.oneof(autoPad, fc.constant("NOTSET")),
        size: perAxis(r, 2, 5),
        kernel: perAxis(r, 1, 4),
        strides: perAxis(r, 1, 3),
        extra: fc.nat(1),
        less: fc.option(perAxis(r, -1, 2)),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ mode, size, kernel, strides, extra, less }) => {
        fc.pre(extra < Math.min(...strides));
        const full = size.map((s, i) => (s - 1) * strides[i] + kernel[i] + extra);
        const asked = full.map((f, i) => f - (less?.[i] ?? 0));
        fc.pre(mode !== "NOTSET" || less !== null);
        // Output padding beyond the stride has no meaning.
        fc.pre(less === null || less.every((l, i) => extra - l < strides[i] && asked[i] > 0));
        const attributes = {
          auto_pad: text(mode),
          strides: ints(strides),
          output_padding: ints(size.map(() => extra)),
          ...(less === null ? {} : { output_shape: ints(asked) }),
        };
        await check("ConvTranspose", [1, 2, ...size], attributes, [2, 3, ...kernel]);
      }),
      { numRuns: 80 },
    );
  }, 60_000);

  it("pools", async () => {
    const cases = rank.chain((r) =>
      fc.record({
        op: fc.constantFrom("MaxPool", "AveragePool"),
        mode: autoPad,
        size: perAxis(r, 3, 8),
        kernel: perAxis(r, 1, 3),
        strides: perAxis(r, 1, 3),
        ceil: fc.nat(1),
        include: fc.nat(1),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ op, mode, size, kernel, strides, ceil, include }) => {
        // ONNX Runtime pools with SAME only where windows cover everything.
        const covers = size.every((s, i) => (Math.ceil(s / strides[i]) - 1) * strides[i] + kernel[i] >= s);
        fc.pre(mode === "VALID" || covers);
        await check(op, [1, 2, ...size], {
          auto_pad: text(mode),
          kernel_shape: ints(kernel),
          strides: ints(strides),
          ceil_mode: int(ceil),
          ...(op === "AveragePool" ? { count_include_pad: int(include) } : {}),
        });
      }),
      { numRuns: 80 },
    );
  }, 60_000);

  it("pools with ceil_mode", async () => {
    const cases = rank.chain((r) =>
      fc.record({
        op: fc.constantFrom("MaxPool", "AveragePool", "LpPool"),
        size: perAxis(r, 4, 8),
        kernel: perAxis(r, 2, 3),
        strides: perAxis(r, 1, 3),
        dilation: fc.integer({ min: 1, max: 2 }),
        pads: perAxis(2 * r, 0, 1),
        include: fc.nat(1),
        opset: fc.constantFrom(13, 18, 19),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ op, size, kernel, strides, dilation, pads, include, opset }) => {
        fc.pre(op !== "LpPool" || opset >= 18);
        const attributes = {
          kernel_shape: ints(kernel),
          strides: ints(strides),
          pads: ints(pads),
          ceil_mode: int(1),
          ...(op === "MaxPool" ? { dilations: ints(kernel.map(() => dilation)) } : {}),
          ...(op === "AveragePool" ? { count_include_pad: int(include) } : {}),
        };
        const { nodes } = await check(op, [1, 2, ...size], attributes, undefined, opset);
        if (dilation > 1) return;
        for (const node of nodes) expect(node.attributes).not.toHaveProperty("ceil_mode");
      }),
      { numRuns: 120 },
    );
  }, 60_000);

  // Of 7 columns, padded by 1 at both ends, the fifth window would begin behind them.
  it.each([
    { op: "MaxPool", include: 0 },
    { op: "AveragePool", include: 0 },
    { op: "AveragePool", include: 1 },
    { op: "LpPool", include: 0 },
  ])("$op drops a window that begins behind the image, as do its readers", async ({ op, include }) => {
    const [dims, outDims] = [
      [1, 2, 8, 7],
      [1, 2, 5, 4],
    ];
    const b = new GraphBuilder({ ...emptyGraph(), opset: 18 });
    const pooled = b.op(op, [b.input("x", dims)], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
      pads: ints([1, 1, 1, 1]),
      ceil_mode: int(1),
      ...(op === "AveragePool" ? { count_include_pad: int(include) } : {}),
    });
    b.output(b.op("Sigmoid", [pooled]), { dims: outDims });
    const prepared = await expectSameAfterPreparing(b.graph);

    const random = randomNumbers(1);
    const [x, along, cotangent] = [dims, dims, outDims].map((shape) => randomArray(shape, random)) as [
      Array64,
      Array64,
      Array64,
    ];
    const { gradients } = await pullbackOf(prepared, { x }, ["x"], [cotangent]);
    const step = 1e-3;
    const [ahead, behind] = await Promise.all(
      [step, -step].map(async (s) => {
        const moved = array64(
          dims,
          x.data.map((v, i) => v + s * along.data[i]),
        );
        return dot((await resultsOf(b.graph, { x: moved }))[0].data, cotangent.data);
      }),
    );
    expect(dot(gradients[0], along.data)).toBeCloseTo((ahead! - behind!) / (2 * step), 3);
  });

  it("AveragePool with dilations", async () => {
    const cases = rank.chain((r) =>
      fc.record({
        size: perAxis(r, 5, 8),
        kernel: perAxis(r, 2, 3),
        strides: perAxis(r, 1, 3),
        dilations: perAxis(r, 1, 2),
        pads: perAxis(2 * r, 0, 1),
        include: fc.nat(1),
        ceil: fc.nat(1),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ size, kernel, strides, dilations, pads, include, ceil }) => {
        await check("AveragePool", [1, 2, ...size], {
          kernel_shape: ints(kernel),
          strides: ints(strides),
          dilations: ints(dilations),
          pads: ints(pads),
          count_include_pad: int(include),
          ceil_mode: int(ceil),
        });
      }),
      { numRuns: 80 },
    );
  }, 60_000);
});
