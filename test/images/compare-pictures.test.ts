import { expect, it } from "vitest";
import { comparePictures, viewsOf } from "../../src/images/compare-pictures.ts";
import type { RgbImage } from "../../src/images/types.ts";
import { seededRandom } from "../../src/random.ts";

const side = 32;
const random = seededRandom(3, "pictures");
const pictureOf = (value: (x: number, y: number, channel: number) => number): RgbImage => ({
  width: side,
  height: side,
  data: Uint8Array.from({ length: 3 * side * side }, (_, k) =>
    value(Math.floor(k / 3) % side, Math.floor(k / 3 / side), k % 3),
  ),
});
const noise = Float64Array.from({ length: 3 * side * side }, () => random.uniform());
const noisy = (x: number, y: number, channel: number) => 60 + 120 * noise[3 * (y * side + x) + channel];
const compare = (a: RgbImage, b: RgbImage) => comparePictures(viewsOf(a)!, viewsOf(b)!)!;

/** Values less their mean over all channels, divided by their standard deviation. */
function standardized({ data }: RgbImage): Float64Array {
  const values = Float64Array.from(data);
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
  return values.map((x) => (x - mean) / deviation);
}

it("the correlation and the largest difference are those of their formulas", () => {
  const a = pictureOf(noisy);
  // Another in one block of 4 × 4, and in few pixels elsewhere.
  const isOther = (x: number, y: number) => (x >= 8 && x < 12 && y >= 20 && y < 24) || (x + y * 7) % 31 === 0;
  const b = pictureOf((x, y, channel) => (isOther(x, y) ? 255 - noisy(x, y, channel) : noisy(x, y, channel)));
  const [p, q] = [standardized(a), standardized(b)];
  const products = p.reduce((sum, value, k) => sum + value * q[k], 0) / p.length;
  const blocks = new Float64Array(64);
  for (const [k, value] of p.entries()) {
    const [x, y] = [Math.floor(k / 3) % side, Math.floor(k / 3 / side)];
    blocks[Math.floor(y / 4) * 8 + Math.floor(x / 4)] += (value - q[k]) ** 2 / 48;
  }
  // Channels have nearly the same mean in noise, so that both correlations are nearly the same.
  const { correlation, alignment, worst } = compare(a, b);
  expect(alignment).toBe("as they are");
  expect(correlation).toBeCloseTo(products, 2);
  expect(worst).toBeCloseTo(Math.max(...blocks), 6);
  expect(worst).toBe(Math.max(worst, blocks[5 * 8 + 2]));
});

it("brightness and some contrast do not matter, colors do", () => {
  const a = pictureOf((x, y, channel) => 40 + Math.round((noisy(x, y, channel) - 60) / 2));
  const brighter = pictureOf((x, y, channel) => 2 * (40 + Math.round((noisy(x, y, channel) - 60) / 2)) + 20);
  expect(compare(a, brighter).correlation).toBeCloseTo(1, 6);
  expect(compare(a, brighter).worst).toBeCloseTo(0, 6);
  const faint = pictureOf((x, y, channel) => 200 + Math.round(noisy(x, y, channel) / 4));
  expect(compare(pictureOf(noisy), faint).correlation).toBeLessThan(0.5);
  const gray = pictureOf((x, y) => noisy(x, y, 0));
  expect(compare(pictureOf(noisy), gray).correlation).toBeLessThan(0.7);
  const turned = pictureOf((x, y, channel) => noisy(x, y, (channel + 1) % 3));
  expect(compare(pictureOf(noisy), turned).correlation).toBeLessThan(0.5);
});

it("two pictures of one strong tint are not alike by their tint", () => {
  const tinted = (shift: number) =>
    pictureOf((x, y, channel) => (channel === 0 ? 180 : 20) + 0.3 * noisy((x + shift) % side, y, channel));
  const { correlation } = compare(tinted(0), tinted(13));
  expect(correlation).toBeLessThan(0.3);
});

it("a mirrored picture and one without its margins are aligned", () => {
  const smooth = (x: number, y: number, channel: number) =>
    128 + 50 * Math.sin(0.4 * x + channel) + 50 * Math.cos(0.3 * y - 0.2 * x + 2 * channel);
  const a = pictureOf(smooth);
  expect(
    compare(
      a,
      pictureOf((x, y, c) => smooth(side - 1 - x, y, c)),
    ),
  ).toEqual({
    alignment: "mirrored",
    correlation: expect.closeTo(1, 9),
    worst: expect.closeTo(0, 9),
  });
  // The middle of 40 × 40 pixels of a finer picture: without a tenth at each side.
  const fine: RgbImage = {
    ...{ width: 80, height: 80 },
    data: Uint8Array.from({ length: 3 * 6400 }, (_, k) =>
      smooth((Math.floor(k / 3) % 80) / 2.5, Math.floor(k / 240) / 2.5, k % 3),
    ),
  };
  const middle: RgbImage = {
    ...{ width: 64, height: 64 },
    data: Uint8Array.from({ length: 3 * 4096 }, (_, k) => {
      const [x, y] = [8 + (Math.floor(k / 3) % 64), 8 + Math.floor(k / 192)];
      return fine.data[3 * (y * 80 + x) + (k % 3)];
    }),
  };
  const cropped = compare(fine, middle);
  expect(cropped.alignment).toBe("cropped");
  expect(cropped.correlation).toBeGreaterThan(0.995);
  const both = compare(middle, {
    ...fine,
    data: fine.data.map(
      (_, k) => fine.data[3 * (Math.floor(k / 240) * 80 + 79 - (Math.floor(k / 3) % 80)) + (k % 3)],
    ),
  });
  expect(both.alignment).toBe("mirrored and cropped");
  expect(both.correlation).toBeGreaterThan(0.995);
});

it("a plain color has no picture to compare, and a strip none to compare with a square", () => {
  expect(viewsOf(pictureOf((_x, _y, channel) => [200, 40, 40][channel]))).toBeUndefined();
  const strip = { ...pictureOf(noisy), width: 2 * side, height: side / 2 };
  expect(comparePictures(viewsOf(strip)!, viewsOf(pictureOf(noisy))!)).toBeUndefined();
});
