import { expect, test } from "vitest";
import { edits } from "../../src/images/edits.ts";
import { seededRandom } from "../../src/random.ts";

const size = 28;
const random = seededRandom(3, "edits");
/** Two images with a smooth ramp and some texture. */
const images = Float32Array.from({ length: 2 * 3 * size * size }, (_, i) => {
  const [y, x] = [Math.floor(i / size) % size, i % size];
  return Math.min(1, Math.max(0, (x + y) / (2 * size) + 0.1 * random.uniform()));
});
const editOf = (name: string) => edits.find((edit) => edit.name === name)!;
const at = (pixels: ArrayLike<number>, plane: number, y: number, x: number) =>
  pixels[(plane * size + y) * size + x];
const meanAbsolute = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / a.length;

test.each(edits.map(({ name }) => name))(
  "%s leaves the images given as they are, and gives as many",
  async (name) => {
    const given = images.slice();
    const edited = await editOf(name).apply(given, size, 0);
    expect(given).toEqual(images);
    expect(edited).toHaveLength(images.length);
    expect(edited).not.toEqual(images);
    for (const value of edited) expect(value >= 0 && value <= 1).toBe(true);
  },
);

test("an 8-bit PNG has the nearest of 256 levels", async () => {
  const edited = await editOf("8-bit PNG").apply(images, size, 0);
  for (const [i, value] of edited.entries()) {
    expect(Math.abs(value * 255 - Math.round(value * 255))).toBeLessThan(1e-4);
    expect(Math.abs(value - images[i])).toBeLessThanOrEqual(0.5 / 255 + 1e-6);
  }
});

test("mirrored images have the left on the right", async () => {
  const edited = await editOf("mirrored").apply(images, size, 0);
  for (const plane of [0, 4])
    for (const y of [0, 13])
      for (const x of [0, 5, 27]) expect(at(edited, plane, y, x)).toBe(at(images, plane, y, size - 1 - x));
});

test.each([1, 4])("a shift by %i px goes right and down, and repeats the border", async (by) => {
  const edited = await editOf(`shifted ${by} px`).apply(images, size, 0);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      expect(at(edited, 5, y, x)).toBe(at(images, 5, Math.max(0, y - by), Math.max(0, x - by)));
});

test("contrast 0.9 takes a tenth of the distance from mid-gray", async () => {
  const edited = await editOf("contrast 0.9").apply(images, size, 0);
  for (const [i, value] of edited.entries()) expect(value).toBeCloseTo(0.5 + 0.9 * (images[i] - 0.5), 6);
});

test("one color is that color after every size, and half and back takes what alternates", async () => {
  const flat = new Float32Array(3 * size * size).fill(0.25);
  for (const name of ["1.75 × up and back", "half and back", "resize 8/7 and crop"])
    for (const value of await editOf(name).apply(flat, size, 0)) expect(value).toBeCloseTo(0.25, 6);
  // Period 2 in x: [1 3 3 1]/8 of it is the mean, but where the border cuts the filter off.
  const stripes = Float32Array.from({ length: 3 * size * size }, (_, i) => (i % 2 === 0 ? 0.2 : 0.6));
  const halved = await editOf("half and back").apply(stripes, size, 0);
  for (let x = 4; x < size - 4; x++) expect(at(halved, 1, 10, x)).toBeCloseTo(0.4, 5);
});

test("resize 8/7 and crop magnifies around the center", async () => {
  // A ramp: the center stays, and its slope is 7/8 of what it was.
  const ramp = Float32Array.from({ length: 3 * size * size }, (_, i) => (i % size) / size);
  const edited = await editOf("resize 8/7 and crop").apply(ramp, size, 0);
  const slope = at(edited, 0, 14, 18) - at(edited, 0, 14, 10);
  expect(slope).toBeCloseTo((8 / size) * (7 / 8), 5);
  expect(at(edited, 0, 14, 13) + at(edited, 0, 14, 14)).toBeCloseTo(27 / size, 5);
});

test("noise has a standard deviation of 0.05, its own in each image, the same in every part of a set", async () => {
  const flat = new Float32Array(2 * 3 * size * size).fill(0.5);
  const edit = editOf("noise 0.05");
  const edited = await edit.apply(flat, size, 0);
  const noise = edited.map((v) => v - 0.5);
  const std = Math.sqrt(noise.reduce((sum, v) => sum + v * v, 0) / noise.length);
  expect(std).toBeCloseTo(0.05, 2);
  const half = flat.length / 2;
  expect(edited.subarray(0, half)).not.toEqual(edited.subarray(half));
  expect(await edit.apply(flat.slice(half), size, 1)).toEqual(edited.slice(half));
  expect(await edit.apply(flat, size, 0)).toEqual(edited);
});

test("codecs change the images the more, the lower the quality, and never much", async () => {
  const changes = await Promise.all(
    ["JPEG 90", "JPEG 75", "WebP 80"].map(async (name) =>
      meanAbsolute(images, await editOf(name).apply(images, size, 0)),
    ),
  );
  const [ninety, seventyFive, webp] = changes as [number, number, number];
  expect(ninety).toBeGreaterThan(0);
  expect(seventyFive).toBeGreaterThan(ninety);
  for (const change of [seventyFive, webp]) expect(change).toBeLessThan(0.05);
});
