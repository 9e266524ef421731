import { expect, test } from "vitest";
import type { ImageSource } from "../../src/data/image-source.ts";
import type { Encoder } from "../../src/encoder/encoder.ts";
import { testMirror } from "../../src/evaluate/mirror.ts";
import { judged } from "../../src/evaluate/mirror-test.ts";
import type { Item } from "../../src/images/types.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

const size = 4;
const d = 3 * size * size;
const count = 400;

/**
 * Two classes of 4 × 4 images whose features are the pixels: bright on top or below, as photographs are told apart, or
 * bright on the left or on the right, as letters are.
 */
function placeOf(told: "top" | "left") {
  const random = seededRandom(1, "mirror test");
  const pixelsOf = (label: number) =>
    Uint8Array.from({ length: size * size * 3 }, (_, i) => {
      const [y, x] = [Math.floor(i / 3 / size), Math.floor(i / 3) % size];
      const bright = (told === "top" ? y : x) < size / 2 === (label === 0);
      return Math.round(255 * ((bright ? 0.6 : 0.2) + 0.2 * random.uniform()));
    });
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  const images = Array.from(labels, pixelsOf);
  const planar = (pixels: Uint8Array) =>
    Float32Array.from(
      { length: d },
      (_, i) => pixels[(i % (size * size)) * 3 + Math.floor(i / (size * size))] / 255,
    );
  const features = new Float32Array(count * d);
  for (const [i, pixels] of images.entries()) features.set(planar(pixels), i * d);
  const at = (i: number): Item => ({
    ...{ id: `${i}`, label: labels[i], open: async () => images[i] },
    encoding: { kind: "pixels", width: size, height: size, channels: 3, layout: "hwc" },
  });
  const source = {
    classes: ["a", "b"],
    images: () => ({ length: count, labels, at }),
  } as Partial<ImageSource>;
  const encoder: Partial<Encoder> = {
    featureSize: d,
    preprocessing: {
      resize: null,
      crop: [size, size],
      interpolation: "bilinear",
      cropOffset: "round",
      mean: [0, 0, 0],
      std: [1, 1, 1],
    },
    features: async (seen) => seen as Float32Array,
  };
  return {
    source: source as ImageSource,
    encoder: encoder as Encoder,
    train: featuresInMemory(features, labels),
    gemm: jsGemm,
  };
}

const map = featureMap({ normalization: "l2" });

test("what top and bottom tell apart keeps its class when it is mirrored", async () => {
  const result = await testMirror(placeOf("top"), map);
  expect(result).toMatchObject({ asTheyAre: 1, mirrored: 1, keeps: true });
  // A tenth of the images, drawn one by one.
  expect(result!.images).toBeGreaterThan(20);
  expect(result!.images).toBeLessThan(70);
});

test("what left and right tell apart does not", async () => {
  expect(await testMirror(placeOf("left"), map)).toMatchObject({ asTheyAre: 1, mirrored: 0, keeps: false });
});

test("a loss of no more than a tenth, or than two standard errors, is none", () => {
  const of = (right: number, all: number) => Array.from({ length: all }, (_, i) => i < right);
  // 80 of 100 and 73: 7 points of 8.
  expect(judged(of(80, 100), of(73, 100)).keeps).toBe(true);
  // 60 points of 80; two standard errors of 60 differences in 100 are 15 points.
  expect(judged(of(80, 100), of(20, 100)).keeps).toBe(false);
  // 2 of 10: 20 points of 80, where two standard errors are 28.
  expect(judged(of(8, 10), of(6, 10)).keeps).toBe(true);
});
