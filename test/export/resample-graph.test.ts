import { expect, it } from "vitest";
import { writeResample } from "../../src/export/resample-graph.ts";
import { Preprocessing, preprocess } from "../../src/images/preprocess.ts";
import { interpolations } from "../../src/images/resample.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { seededRandom } from "../../src/random.ts";
import { runGraph } from "../support/run-graph.ts";

const common = { mean: [0, 0, 0], std: [1, 1, 1] };

/** Sizes of pictures: smaller than the input, equal, larger, wide, tall, odd margins, one pixel. */
const sizes = [
  [24, 24],
  [24, 25],
  [100, 37],
  [37, 101],
  [333, 250],
  [11, 9],
  [1, 1],
  [700, 5],
] as const;

/** A box ends at a half: whether it holds a pixel that is there exactly, Pillow's rounding decides. Odd sizes have none. */
const isOdd = (size: number) => size % 2 === 1;

const cases = [
  ...interpolations.map((interpolation) => ({ resize: 27, crop: [24, 24], interpolation })),
  { resize: 24, crop: [24, 24], interpolation: "bicubic", cropOffset: "floor" },
  { resize: 25, crop: [20, 22], interpolation: "bilinear", cropOffset: "floor" },
  { resize: 25, crop: [20, 22], interpolation: "bilinear", cropOffset: "round" },
  { resize: [24, 30], crop: [24, 30], interpolation: "bicubic" },
  { resize: [20, 21], crop: [24, 24], interpolation: "bicubic" },
  { resize: 16, crop: [24, 19], interpolation: "bicubic" },
  { resize: null, crop: [24, 24], interpolation: "bicubic" },
];

it.each(cases)("pictures of any size become the input that preprocess makes: %j", async (own) => {
  const preprocessing = Preprocessing.parse({ ...common, ...own });
  const b = new GraphBuilder();
  const pixels = b.input("pixels", ["batch", 3, "height", "width"]);
  b.output(writeResample(b, pixels, preprocessing), { dims: [] });
  const random = seededRandom(3, "pixels");
  for (const [width, height] of sizes.filter((size) => own.interpolation !== "box" || size.every(isOdd))) {
    const data = Uint8Array.from({ length: 3 * width * height }, () => Math.floor(256 * random.uniform()));
    const expected = preprocess({ width, height, data }, preprocessing);
    const area = width * height;
    const planar = Float64Array.from(
      { length: 3 * area },
      (_, i) => data[3 * (i % area) + Math.floor(i / area)] / 255,
    );
    const [found] = await runGraph(b.graph, { pixels: { dims: [1, 3, height, width], data: planar } });
    expect(found.dims).toEqual([1, 3, ...preprocessing.crop]);
    // Pillow's weights have 22 bits: a sum that is a half exactly, as small ratios make them, may round the other way in
    // either pass.
    const levels = found.data.map((value, i) => Math.abs(value * 255 - expected[i]));
    expect(Math.max(...levels), `${width} × ${height}`).toBeLessThan(2.01);
    const share = levels.filter((level) => level > 0.01).length / levels.length;
    expect(share, `${width} × ${height}`).toBeLessThan(0.1);
  }
});
