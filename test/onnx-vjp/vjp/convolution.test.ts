import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, int, ints, sizeOf } from "../../../src/onnx-vjp/graph/ir.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../../src/onnx-vjp/vjp/derive.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { stridesOf } from "../../support/reference.ts";

/** A convolution over one to three spatial axes. */
interface Shape {
  readonly n: number;
  readonly group: number;
  readonly inPerGroup: number;
  readonly outPerGroup: number;
  readonly size: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

const perAxis = (rank: number, min: number, max: number) =>
  fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank });

/** Channels: images have few, which takes a form of its own; networks have many, or one for each group. */
const channels = fc.oneof(
  fc.record({
    group: fc.integer({ min: 1, max: 3 }),
    inPerGroup: fc.integer({ min: 1, max: 2 }),
    outPerGroup: fc.integer({ min: 1, max: 2 }),
  }),
  fc.record({
    group: fc.constant(1),
    inPerGroup: fc.constant(9),
    outPerGroup: fc.integer({ min: 1, max: 2 }),
  }),
);

const shapes: fc.Arbitrary<Shape> = fc
  .tuple(fc.constantFrom(1, 2, 2, 2, 3), channels)
  .chain(([rank, c]) =>
    fc.record({
      n: fc.integer({ min: 1, max: rank === 3 ? 1 : 2 }),
      group: fc.constant(c.group),
      inPerGroup: fc.constant(c.inPerGroup),
      outPerGroup: fc.constant(c.outPerGroup),
      size: perAxis(rank, 1, rank === 3 || c.inPerGroup > 2 ? 4 : 9),
      kernel: perAxis(rank, 1, rank === 3 ? 3 : 4),
      strides: perAxis(rank, 1, 3),
      dilations: fc.oneof(
        { weight: 3, arbitrary: fc.constant(new Array<number>(rank).fill(1)) },
        { weight: 1, arbitrary: perAxis(rank, 1, 2) },
      ),
      begin: perAxis(rank, 0, 2),
      end: perAxis(rank, 0, 2),
    }),
  )
  .filter((s) => outSize(s).every((o) => o >= 1))
  // A gradient of few elements may cancel to nearly nothing, and its relative error says nothing then.
  .filter((s) => Math.min(sizeOf(inDims(s)), sizeOf(outDims(s))) >= 4);

const reach = ({ kernel, dilations }: Shape) => kernel.map((k, i) => (k - 1) * dilations[i] + 1);

const outSize = (s: Shape): number[] =>
  s.size.map((size, i) => Math.floor((size + s.begin[i] + s.end[i] - reach(s)[i]) / s.strides[i]) + 1);

const inDims = (s: Shape) => [s.n, s.group * s.inPerGroup, ...s.size];
const outDims = (s: Shape) => [s.n, s.group * s.outPerGroup, ...outSize(s)];
const weightDims = (s: Shape) => [s.group * s.outPerGroup, s.inPerGroup, ...s.kernel];

/** Calls `visit` with every input, weight and output element that meet, by the definition of a convolution. */
function eachTap(s: Shape, visit: (x: number, w: number, y: number) => void): void {
  const out = outSize(s);
  const [space, taps, positions] = [sizeOf(s.size), sizeOf(s.kernel), sizeOf(out)];
  const [xs, ws, ys] = [stridesOf(s.size), stridesOf(s.kernel), stridesOf(out)];
  // Which input position each output position and tap read, −1 outside.
  const met: [x: number, w: number, y: number][] = [];
  for (let y = 0; y < positions; y++) {
    for (let w = 0; w < taps; w++) {
      let x = 0;
      for (const [i, size] of s.size.entries()) {
        const o = Math.floor(y / ys[i]) % out[i];
        const t = Math.floor(w / ws[i]) % s.kernel[i];
        const at = o * s.strides[i] - s.begin[i] + t * s.dilations[i];
        x = at < 0 || at >= size || x < 0 ? -1 : x + at * xs[i];
      }
      if (x >= 0) met.push([x, w, y]);
    }
  }
  for (let n = 0; n < s.n; n++) {
    for (let m = 0; m < s.group * s.outPerGroup; m++) {
      for (let c = 0; c < s.inPerGroup; c++) {
        const channel = Math.floor(m / s.outPerGroup) * s.inPerGroup + c;
        const from = (n * s.group * s.inPerGroup + channel) * space;
        const weight = (m * s.inPerGroup + c) * taps;
        const to = (n * s.group * s.outPerGroup + m) * positions;
        for (const [x, w, y] of met) visit(from + x, weight + w, to + y);
      }
    }
  }
}

function convolve(s: Shape, x: Array64, w: Array64, bias?: Array64): Array64 {
  const y = array64(outDims(s));
  const area = sizeOf(outSize(s));
  for (let i = 0; bias && i < y.data.length; i++) {
    y.data[i] = bias.data[Math.floor(i / area) % bias.data.length];
  }
  eachTap(s, (i, k, o) => {
    y.data[o] += x.data[i] * w.data[k];
  });
  return y;
}

/** The adjoint of `convolve` in its first argument. */
function scatter(s: Shape, y: Array64, w: Array64): Array64 {
  const x = array64(inDims(s));
  eachTap(s, (i, k, o) => {
    x.data[i] += y.data[o] * w.data[k];
  });
  return x;
}

const attributesOf = (s: Shape): Attributes => ({
  kernel_shape: ints(s.kernel),
  strides: ints(s.strides),
  dilations: ints(s.dilations),
  pads: ints([...s.begin, ...s.end]),
  group: int(s.group),
});

const checkConv = async (s: Shape, seed: number) => {
  const random = randomNumbers(seed);
  await checkRule({
    op: "Conv",
    attributes: attributesOf(s),
    inputs: [
      { ...randomArray(inDims(s), random), variable: true },
      randomArray(weightDims(s), random),
      { ...randomArray([s.group * s.outPerGroup], random), variable: seed % 3 === 0 },
    ],
    // The operator is linear: any step is exact.
    step: 0.5,
    seed,
    reference: ([x, w, b]) => convolve(s, x!, w!, b),
  });
};

const square = (c: Partial<Shape> & { k: number; s: number; pads: readonly [number, number] }): Shape => ({
  n: 1,
  group: 1,
  inPerGroup: 1,
  outPerGroup: 1,
  size: [8, 8],
  kernel: [c.k, c.k],
  strides: [c.s, c.s],
  dilations: [1, 1],
  begin: [c.pads[0], c.pads[0]],
  end: [c.pads[1], c.pads[1]],
  ...c,
});

describe("Conv", () => {
  it("of any rank, stride, padding, dilation and grouping", async () => {
    await fc.assert(fc.asyncProperty(shapes, fc.nat(), checkConv), { numRuns: 150 });
  }, 240_000);

  it("of the depthwise and strided shapes of mobile networks", async () => {
    for (const k of [3, 5]) {
      for (const [before, after] of [
        [(k - 1) / 2, (k - 1) / 2],
        [(k - 3) / 2, (k - 1) / 2],
      ] as const) {
        for (const size of [8, 9]) {
          await checkConv(square({ k, s: 2, pads: [before, after], size: [size, size], group: 4 }), k);
        }
      }
    }
  }, 60_000);

  // Large maps, where finite differences would take long: the pullback of a linear map is its adjoint.
  it.each([
    ["patches", square({ k: 4, s: 4, pads: [0, 0], inPerGroup: 3, outPerGroup: 4, size: [8, 12] })],
    ["a stem", square({ k: 3, s: 2, pads: [0, 1], inPerGroup: 3, outPerGroup: 4, size: [32, 32] })],
    ["a wide map", square({ k: 3, s: 2, pads: [1, 1], inPerGroup: 10, outPerGroup: 2, size: [32, 31] })],
    ["a small map", square({ k: 3, s: 2, pads: [1, 1], inPerGroup: 10, outPerGroup: 2, size: [9, 8] })],
    ["downsampling", square({ k: 1, s: 2, pads: [0, 0], inPerGroup: 10, outPerGroup: 3, size: [9, 12] })],
    ["groups", square({ k: 3, s: 2, pads: [1, 1], group: 2, inPerGroup: 9, outPerGroup: 2, size: [12, 12] })],
    ["large depthwise maps", square({ k: 3, s: 2, pads: [0, 1], group: 3, size: [32, 34] })],
    ["cut padding", square({ k: 1, s: 1, pads: [1, 2], inPerGroup: 10, outPerGroup: 2 })],
  ])(
    "of %s has the adjoint as its gradient",
    async (_, s) => {
      const random = randomNumbers(s.size[0]);
      const weight = randomArray(weightDims(s), random);
      const cotangent = randomArray(outDims(s), random);
      const expected = scatter(s, cotangent, weight).data;
      const b = new GraphBuilder();
      const y = b.op("Conv", [b.input("x", inDims(s)), b.floats(weight.dims, weight.data)], attributesOf(s));
      b.output(y, { dims: outDims(s) });
      const { gradients } = await pullbackOf(b.graph, { x: array64(inDims(s)) }, ["x"], [cotangent]);
      const error = gradients[0].map((g, i) => Math.abs(g - expected[i]));
      expect(Math.max(...error)).toBeLessThan(1e-4);
    },
    60_000,
  );

  it("whose weight the image decides is refused", async () => {
    const b = new GraphBuilder();
    const x = b.input("image", [1, 2, 4, 4]);
    const weight = b.reshape(b.op("GlobalAveragePool", [x]), [1, 2, 1, 1]);
    const y = b.op("Conv", [x, weight]);
    b.output(y, { dims: [1, 1, 4, 4] });
    const traced = await trace(nodeRuntime({ threads: 1 }), b.graph, { image: [1, 2, 4, 4] });
    expect(() => derive(traced, ["image"], [y])).toThrow(/Conv .*weight that is computed from the image/);
  });
});

describe("ConvTranspose", () => {
  it("of any rank, stride, padding, dilation, grouping and output padding", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.nat(), async (s, seed) => {
        const random = randomNumbers(seed);
        // Its input is the convolution's output; positions that no window reaches need output padding.
        const rest = outSize(s).map(
          (o, i) => s.size[i] - ((o - 1) * s.strides[i] + reach(s)[i] - s.begin[i] - s.end[i]),
        );
        fc.pre(rest.every((r, i) => r >= 0 && r < Math.max(s.strides[i], s.dilations[i])));
        await checkRule({
          op: "ConvTranspose",
          attributes: { ...attributesOf(s), output_padding: ints(rest) },
          inputs: [
            { ...randomArray(outDims(s), random), variable: true },
            randomArray(weightDims(s), random),
          ],
          step: 0.5,
          seed,
          reference: ([y, w]) => scatter(s, y!, w!),
        });
      }),
      { numRuns: 80 },
    );
  }, 240_000);
});
