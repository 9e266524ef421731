import fc from "fast-check";
import { describe, it } from "vitest";
import { int, ints } from "../../src/graph/ir.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../support/check-rule.ts";

interface Shape {
  n: number;
  group: number;
  inPerGroup: number;
  outPerGroup: number;
  size: [number, number];
  kernel: [number, number];
  strides: [number, number];
  dilations: [number, number];
  pads: [number, number, number, number];
}

const pair = (min: number, max: number) =>
  fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })) as fc.Arbitrary<[number, number]>;

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    n: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    inPerGroup: fc.integer({ min: 1, max: 2 }),
    outPerGroup: fc.integer({ min: 1, max: 2 }),
    size: pair(1, 9),
    kernel: pair(1, 4),
    strides: pair(1, 3),
    dilations: fc.oneof(
      { weight: 3, arbitrary: fc.constant([1, 1] as [number, number]) },
      { weight: 1, arbitrary: pair(1, 2) },
    ),
    pads: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2)) as fc.Arbitrary<
      [number, number, number, number]
    >,
  })
  .filter((s) => outSize(s).every((o) => o >= 1));

function outSize({ size, kernel, strides, dilations, pads }: Shape): number[] {
  return [0, 1].map(
    (i) =>
      Math.floor((size[i]! + pads[i]! + pads[i + 2]! - (kernel[i]! - 1) * dilations[i]! - 1) / strides[i]!) +
      1,
  );
}

/** Calls `visit` with every (batch, group, out channel, out position, in channel, in position, tap) that meet. */
function eachTap(s: Shape, visit: (x: number, w: number, y: number) => void): void {
  const [H, W] = s.size;
  const [oh, ow] = outSize(s) as [number, number];
  const [kh, kw] = s.kernel;
  for (let n = 0; n < s.n; n++)
    for (let g = 0; g < s.group; g++)
      for (let m = 0; m < s.outPerGroup; m++)
        for (let c = 0; c < s.inPerGroup; c++)
          for (let oy = 0; oy < oh; oy++)
            for (let ox = 0; ox < ow; ox++)
              for (let ky = 0; ky < kh; ky++)
                for (let kx = 0; kx < kw; kx++) {
                  const iy = oy * s.strides[0] - s.pads[0] + ky * s.dilations[0];
                  const ix = ox * s.strides[1] - s.pads[1] + kx * s.dilations[1];
                  if (iy < 0 || ix < 0 || iy >= H || ix >= W) continue;
                  const x = ((n * s.group * s.inPerGroup + g * s.inPerGroup + c) * H + iy) * W + ix;
                  const w = (((g * s.outPerGroup + m) * s.inPerGroup + c) * kh + ky) * kw + kx;
                  const y = ((n * s.group * s.outPerGroup + g * s.outPerGroup + m) * oh + oy) * ow + ox;
                  visit(x, w, y);
                }
}

const attributesOf = (s: Shape) => ({
  kernel_shape: ints(s.kernel),
  strides: ints(s.strides),
  dilations: ints(s.dilations),
  pads: ints(s.pads),
  group: int(s.group),
});

describe("convolution rules", () => {
  const inDims = (s: Shape) => [s.n, s.group * s.inPerGroup, ...s.size];
  const outDims = (s: Shape) => [s.n, s.group * s.outPerGroup, ...outSize(s)];
  const weightDims = (s: Shape) => [s.group * s.outPerGroup, s.inPerGroup, ...s.kernel];

  const checkConv = async (s: Shape, seed: number) => {
    const random = randomNumbers(seed);
    const weight = randomArray(weightDims(s), random);
    const bias = randomArray([s.group * s.outPerGroup], random);
    await checkRule({
      op: "Conv",
      attributes: attributesOf(s),
      inputs: [{ ...randomArray(inDims(s), random), variable: true }, weight, bias],
      step: 0.5,
      seed,
      reference: ([x, w, b]) => {
        const y = array64(outDims(s));
        const area = y.dims[2]! * y.dims[3]!;
        for (let i = 0; i < y.data.length; i++) y.data[i] = b!.data[Math.floor(i / area) % b!.data.length]!;
        eachTap(s, (i, k, o) => {
          y.data[o]! += x!.data[i]! * w!.data[k]!;
        });
        return y;
      },
    });
  };

  it("Conv: any stride, padding, dilation and grouping", async () => {
    await fc.assert(fc.asyncProperty(shapes, fc.nat(), checkConv), { numRuns: 150 });
  }, 120_000);

  it("Conv: patches without overlap", async () => {
    const patches: Shape = {
      n: 2,
      group: 1,
      inPerGroup: 3,
      outPerGroup: 4,
      size: [8, 12],
      kernel: [4, 4],
      strides: [4, 4],
      dilations: [1, 1],
      pads: [0, 0, 0, 0],
    };
    await checkConv(patches, 3);
  });

  it("Conv: the depthwise and strided shapes of mobile networks", async () => {
    for (const [k, pads] of [
      [3, [0, 0, 1, 1]],
      [5, [1, 1, 2, 2]],
      [3, [1, 1, 1, 1]],
      [5, [2, 2, 2, 2]],
    ] as const) {
      for (const size of [8, 9]) {
        await checkConv(
          {
            n: 1,
            group: 4,
            inPerGroup: 1,
            outPerGroup: 1,
            size: [size, size],
            kernel: [k, k],
            strides: [2, 2],
            dilations: [1, 1],
            pads: [...pads] as [number, number, number, number],
          },
          k,
        );
      }
    }
  });

  it("ConvTranspose is differentiated by the convolution it is the adjoint of", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.nat(), async (s, seed) => {
        const random = randomNumbers(seed);
        // Its input is the convolution's output; positions that no window reaches need output padding.
        const reached = [0, 1].map(
          (i) =>
            (outSize(s)[i]! - 1) * s.strides[i]! +
            (s.kernel[i]! - 1) * s.dilations[i]! +
            1 -
            s.pads[i]! -
            s.pads[i + 2]!,
        );
        const rest = [0, 1].map((i) => s.size[i]! - reached[i]!);
        fc.pre(rest.every((r, i) => r >= 0 && r < Math.max(s.strides[i]!, s.dilations[i]!)));
        await checkRule({
          op: "ConvTranspose",
          attributes: { ...attributesOf(s), output_padding: ints(rest) },
          inputs: [
            { ...randomArray(outDims(s), random), variable: true },
            randomArray(weightDims(s), random),
          ],
          step: 0.5,
          seed,
          reference: ([y, w]) => {
            const x: Array64 = array64(inDims(s));
            eachTap(s, (i, k, o) => {
              x.data[i]! += y!.data[o]! * w!.data[k]!;
            });
            return x;
          },
        });
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
