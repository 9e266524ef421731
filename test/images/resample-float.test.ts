import { describe, expect, it } from "vitest";
import { type Interpolation, interleave, interpolations, resample } from "../../src/images/resample.ts";
import { resampleFloat } from "../../src/images/resample-float.ts";
import { seededRandom } from "../../src/random.ts";

const random = seededRandom(3, "resample");
const from = 20;
/** Smooth, so that the 8-bit one is never cut. */
const bytes = Uint8Array.from({ length: 3 * from * from }, (_, p) =>
  Math.round(128 + 60 * Math.sin(p / 9) + 20 * random.uniform()),
);
const floats = Float32Array.from(bytes, (x) => x / 255);

describe.each(interpolations)("resampleFloat, %s", (interpolation: Interpolation) => {
  it.each([
    [8, 8],
    [33, 33],
    [12, 31],
  ])("to %i × %i is Pillow's resize without its rounding", (height, width) => {
    const out = new Uint8Array(3 * height * width);
    const canvas = { data: out, width, height, left: 0, top: 0 };
    const window = { left: 0, top: 0, width, height };
    resample(interleave(bytes, from, from), width, height, interpolation, window, canvas);
    const own = resampleFloat(floats, from, [height, width], interpolation);
    // Two passes that round to 8 bits are off by less than one level each.
    const worst = own.reduce((most, x, i) => Math.max(most, Math.abs(255 * x - out[i])), 0);
    expect(worst).toBeLessThan(1.6);
    const mean = own.reduce((sum, x, i) => sum + 255 * x - out[i], 0) / own.length;
    // A box of two pixels halves odd sums, which 8 bits round up.
    expect(Math.abs(mean)).toBeLessThan(interpolation === "box" ? 0.5 : 0.1);
  });
});

describe("resampleFloat", () => {
  it("leaves images of the right size as they are", () => {
    expect(resampleFloat(floats, from, [from, from], "bicubic")).toBe(floats);
  });

  it("keeps a constant, exactly what a weighted mean of it is, and stays in [0, 1]", () => {
    const constant = resampleFloat(new Float32Array(3 * 16).fill(0.3), 4, [7, 7], "bicubic");
    for (const x of constant) expect(x).toBeCloseTo(0.3, 6);
    const edge = Float32Array.from({ length: 3 * 64 }, (_, p) => (p % 8 < 4 ? 0 : 1));
    const sharp = resampleFloat(edge, 8, [40, 40], "bicubic");
    expect(Math.min(...sharp)).toBe(0);
    expect(Math.max(...sharp)).toBe(1);
  });
});
