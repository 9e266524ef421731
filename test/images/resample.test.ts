import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { geometryOf, Preprocessing, preprocess } from "../../src/images/preprocess.ts";
import { interleave, interpolations, resample } from "../../src/images/resample.ts";
import type { RgbImage } from "../../src/images/types.ts";

const pair = z.tuple([z.number(), z.number()]);
const Fixtures = z.object({
  cases: z.array(
    z.object({
      kind: z.enum(["resize", "preprocess"]),
      interpolation: z.enum(interpolations),
      source: pair,
      expected: pair,
      resize: z.union([z.number(), pair, z.null()]).optional(),
      crop: pair.optional(),
    }),
  ),
});

const folder = new URL("../fixtures/resize/", import.meta.url);
const { cases } = Fixtures.parse(JSON.parse(readFileSync(new URL("index.json", folder), "utf8")));
const pixels = gunzipSync(readFileSync(new URL("pixels.bin.gz", folder)));
let offset = 0;
function take([width, height]: readonly [number, number]): RgbImage {
  const data = new Uint8Array(pixels.subarray(offset, offset + width * height * 3));
  offset += data.length;
  return { width, height, data };
}
const loaded = cases.map((entry) => ({ ...entry, image: take(entry.source), want: take(entry.expected) }));

const anyImage = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }))
  .chain(([width, height]) =>
    fc
      .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
      .map((data): RgbImage => ({ width, height, data })),
  );
const constants = { mean: [0, 0, 0], std: [1, 1, 1] };

describe("resampling", () => {
  it.each(
    loaded
      .filter((c) => c.kind === "resize")
      .map((c) => [`${c.interpolation} ${c.source} to ${c.expected}`, c]),
  )("equals Pillow to the last bit: %s", (_, { image, want, interpolation }) => {
    const got = resample(image, want.width, want.height, interpolation);
    expect(interleave(got, want.width, want.height).data).toEqual(want.data);
  });

  it("computes inside a window what the whole resize has there", () => {
    fc.assert(
      fc.property(
        anyImage,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom(...interpolations),
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        (image, width, height, interpolation, [a, b, c, d]) => {
          const left = a! % width;
          const top = b! % height;
          const window = { left, top, width: 1 + (c! % (width - left)), height: 1 + (d! % (height - top)) };
          const whole = resample(image, width, height, interpolation);
          const part = resample(image, width, height, interpolation, window);
          for (let channel = 0; channel < 3; channel++) {
            for (let y = 0; y < window.height; y++) {
              const row = (channel * window.height + y) * window.width;
              const source = (channel * height + top + y) * width + left;
              expect(part.subarray(row, row + window.width)).toEqual(
                whole.subarray(source, source + window.width),
              );
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("leaves an image that already has the size as it is", () => {
    fc.assert(
      fc.property(anyImage, fc.constantFrom(...interpolations), (image, interpolation) => {
        const same = resample(image, image.width, image.height, interpolation);
        expect(interleave(same, image.width, image.height).data).toEqual(image.data);
      }),
    );
  });

  it("refuses a buffer that is not the image's size and a window outside of the result", () => {
    const image = { width: 2, height: 2, data: new Uint8Array(11) };
    expect(() => resample(image, 1, 1, "box")).toThrow(/needs 12 bytes.*got 11/);
    const good = { width: 2, height: 2, data: new Uint8Array(12) };
    const outside = { left: 3, top: 0, width: 2, height: 1 };
    expect(() => resample(good, 4, 4, "box", outside)).toThrow(/leaves the resized image of 4 × 4/);
  });
});

describe("preprocessing", () => {
  it.each(
    loaded
      .filter((c) => c.kind === "preprocess")
      .map((c) => [`${c.source} resize ${c.resize} crop ${c.crop}`, c]),
  )("equals torchvision's Resize and CenterCrop to the last bit: %s", (_, entry) => {
    const { image, want, interpolation, resize, crop } = entry;
    const preprocessing = Preprocessing.parse({ resize, crop, interpolation, ...constants });
    const stale = new Uint8Array(want.data.length).fill(77);
    const got = preprocess(image, preprocessing, stale);
    expect(interleave(got, want.width, want.height).data).toEqual(want.data);
  });

  it("rounds an odd margin as the family's reference does", () => {
    const base = { resize: null, crop: [4, 4], interpolation: "bicubic", ...constants };
    // Margins 3/2 and 5/2: Python's round gives 2 and 2, floor division 1 and 2.
    const round = geometryOf(Preprocessing.parse(base), 7, 9);
    expect([round.window.left, round.window.top]).toEqual([2, 2]);
    const floor = geometryOf(Preprocessing.parse({ ...base, cropOffset: "floor" }), 7, 9);
    expect([floor.window.left, floor.window.top]).toEqual([1, 2]);
  });

  it("refuses a configuration with an unknown filter or a deviation of zero", () => {
    const good = { resize: 256, crop: [224, 224], interpolation: "bicubic", ...constants };
    expect(Preprocessing.safeParse(good).success).toBe(true);
    expect(Preprocessing.safeParse({ ...good, interpolation: "area" }).success).toBe(false);
    expect(Preprocessing.safeParse({ ...good, std: [1, 0, 1] }).success).toBe(false);
    expect(Preprocessing.safeParse({ ...good, crop: [0, 224] }).success).toBe(false);
  });
});
