import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Attributes, float, int, ints, text } from "../../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { at, build } from "../../support/reference.ts";

interface Interpolation {
  readonly mode: "nearest" | "linear" | "cubic";
  readonly coordinates: string;
  readonly rounding?: string;
  readonly antialias?: boolean;
  readonly excludeOutside?: boolean;
  readonly cubic?: number;
}

/** Where output position `o` lies on the input axis (ONNX, Resize, coordinate_transformation_mode). */
function position(mode: string, o: number, size: number, out: number, scale: number): number {
  switch (mode) {
    case "align_corners":
      return out === 1 ? 0 : (o * (size - 1)) / (out - 1);
    case "asymmetric":
      return o / scale;
    case "pytorch_half_pixel":
      return out === 1 ? 0 : (o + 0.5) / scale - 0.5;
    default:
      return (o + 0.5) / scale - 0.5;
  }
}

const triangle = (x: number) => Math.max(1 - Math.abs(x), 0);
const keys = (x: number, a: number) => {
  const t = Math.abs(x);
  if (t <= 1) return (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1;
  return t < 2 ? a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a : 0;
};

/** The weights of the input elements in output element `o`: ONNX's definition of Resize, in double. */
function weights(p: Interpolation, o: number, size: number, out: number, scale: number): Map<number, number> {
  const x = position(p.coordinates, o, size, out, scale);
  if (p.mode === "nearest") {
    const rounded = {
      round_prefer_floor: Math.ceil(x - 0.5),
      round_prefer_ceil: Math.floor(x + 0.5),
      floor: Math.floor(x),
      ceil: Math.ceil(x),
    }[p.rounding ?? "round_prefer_floor"]!;
    return new Map([[Math.min(Math.max(rounded, 0), size - 1), 1]]);
  }
  const stretch = p.antialias ? Math.min(scale, 1) : 1;
  const kernel = p.mode === "linear" ? triangle : (t: number) => keys(t, p.cubic ?? -0.75);
  const radius = Math.ceil((p.mode === "linear" ? 1 : 2) / stretch) + 1;
  const found = new Map<number, number>();
  for (let i = Math.floor(x) - radius; i <= Math.floor(x) + radius + 1; i++) {
    const weight = kernel((i - x) * stretch);
    const outside = i < 0 || i >= size;
    if (weight === 0 || (p.excludeOutside && outside)) continue;
    const source = Math.min(Math.max(i, 0), size - 1);
    found.set(source, (found.get(source) ?? 0) + weight);
  }
  const total = [...found.values()].reduce((a, b) => a + b, 0);
  return new Map([...found].map(([i, w]) => [i, w / total]));
}

/** Resizes each axis of an array of shape `from` whose scale is not 1. */
function resizer(
  p: Interpolation,
  from: readonly number[],
  dims: readonly number[],
  scales: readonly number[],
): (inputs: readonly Array64[]) => Array64 {
  const tables = dims.map((out, axis) =>
    scales[axis] === 1
      ? undefined
      : Array.from({ length: out }, (_, o) => [...weights(p, o, from[axis], out, scales[axis])]),
  );
  return ([x]) => {
    let y = x!;
    for (const [axis, table] of tables.entries()) {
      if (table === undefined) continue;
      const before = y;
      const resized = before.dims.map((d, i) => (i === axis ? dims[axis] : d));
      y = build(resized, (index) => {
        const element = [...index];
        let sum = 0;
        for (const [i, w] of table[index[axis]!]) {
          element[axis] = i;
          sum += w * at(before, element);
        }
        return sum;
      });
    }
    return y;
  };
}

const attributesOf = (p: Interpolation): Attributes => ({
  mode: text(p.mode),
  coordinate_transformation_mode: text(p.coordinates),
  ...(p.rounding ? { nearest_mode: text(p.rounding) } : {}),
  ...(p.antialias ? { antialias: int(1) } : {}),
  ...(p.excludeOutside ? { exclude_outside: int(1) } : {}),
  ...(p.cubic ? { cubic_coeff_a: float(p.cubic) } : {}),
});

const coordinates = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"];
const smooth: Interpolation[] = coordinates.flatMap((mode) => [
  { mode: "linear", coordinates: mode },
  { mode: "cubic", coordinates: mode },
]);
const cases: Interpolation[] = [
  ...smooth,
  { mode: "cubic", coordinates: "half_pixel", cubic: -0.5, excludeOutside: true },
  { mode: "linear", coordinates: "half_pixel", antialias: true },
  { mode: "linear", coordinates: "align_corners", antialias: true },
  { mode: "cubic", coordinates: "half_pixel", antialias: true, cubic: -0.5, excludeOutside: true },
  { mode: "cubic", coordinates: "pytorch_half_pixel", antialias: true },
];
const side = fc.integer({ min: 2, max: 6 });

describe("the rule of Resize", () => {
  it.each(cases)("$mode, $coordinates, antialias $antialias, to given sizes", async (p) => {
    await fc.assert(
      fc.asyncProperty(side, side, side, side, fc.nat(), async (h, w, oh, ow, seed) => {
        const dims = [2, 1, oh, ow];
        await checkRule({
          op: "Resize",
          attributes: attributesOf(p),
          inputs: [
            { ...randomArray([2, 1, h, w], randomNumbers(seed)), variable: true },
            "",
            "",
            { ...array64([4], dims), dtype: "int64" },
          ],
          reference: resizer(p, [2, 1, h, w], dims, [1, 1, oh / h, ow / w]),
          seed,
        });
      }),
      { numRuns: 6 },
    );
  });

  it.each(cases)("$mode, $coordinates, antialias $antialias, by given scales", async (p) => {
    await fc.assert(
      fc.asyncProperty(side, side, fc.constantFrom(2, 1.5, 3, 1.25), fc.nat(), async (h, w, scale, seed) => {
        const dims = [1, 2, Math.floor(h * scale), w * 2];
        fc.pre(dims[2] !== h);
        await checkRule({
          op: "Resize",
          attributes: attributesOf(p),
          inputs: [
            { ...randomArray([1, 2, h, w], randomNumbers(seed)), variable: true },
            "",
            array64([4], [1, 1, scale, 2]),
          ],
          reference: resizer(p, [1, 2, h, w], dims, [1, 1, scale, 2]),
          seed,
        });
      }),
      { numRuns: 6 },
    );
  });

  // Scales of a few bits: a position halfway between two elements is then halfway in every arithmetic.
  it.each(
    ["half_pixel", "asymmetric"].flatMap((mode) =>
      ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"].map((rounding) => ({ mode, rounding })),
    ),
  )("nearest, $mode, $rounding", async ({ mode, rounding }) => {
    const p: Interpolation = { mode: "nearest", coordinates: mode, rounding };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(2, 4, 8),
        fc.constantFrom(2, 0.5, 4, 1.5, 1),
        fc.constantFrom(2, 0.5, 0.25),
        fc.nat(),
        async (size, first, second, seed) => {
          const scales = [1, 1, first, second];
          const dims = [2, 2, size, 8].map((d, i) => Math.floor(d * scales[i]));
          await checkRule({
            op: "Resize",
            attributes: attributesOf(p),
            inputs: [
              { ...randomArray([2, 2, size, 8], randomNumbers(seed)), variable: true },
              "",
              array64([4], scales),
            ],
            reference: resizer(p, [2, 2, size, 8], dims, scales),
            seed,
          });
        },
      ),
      { numRuns: 8 },
    );
  });

  it("the axes attribute, and one spatial axis", async () => {
    const p: Interpolation = { mode: "linear", coordinates: "half_pixel" };
    await checkRule({
      op: "Resize",
      attributes: { ...attributesOf(p), axes: ints([2]) },
      inputs: [
        { ...randomArray([2, 3, 5], randomNumbers(3)), variable: true },
        "",
        "",
        { ...array64([1], [8]), dtype: "int64" },
      ],
      reference: resizer(p, [2, 3, 5], [2, 3, 8], [1, 1, 8 / 5]),
    });
  });

  it("refuses an axis whose matrix would take more than a model", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1, 1, 1, 20_000]);
    const y = b.op("Resize", [x, "", "", b.ints([1, 1, 1, 19_999])], { mode: text("linear") });
    b.output(y, { dims: [1, 1, 1, 19_999] });
    const refused = pullbackOf(
      b.graph,
      { x: array64([1, 1, 1, 20_000]) },
      ["x"],
      [array64([1, 1, 1, 19_999])],
    );
    await expect(refused).rejects.toThrow(/axis 3 from 20000 to 19999 by a matrix that is too large/);
  });

  it("refuses a crop that the image decides", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1, 1, 4, 4]);
    const first = b.op("Reshape", [b.op("Slice", [x, b.ints([0]), b.ints([2]), b.ints([3])]), b.ints([8])]);
    const y = b.op("Resize", [x, first, "", b.ints([1, 1, 2, 2])], {
      mode: text("linear"),
      coordinate_transformation_mode: text("tf_crop_and_resize"),
    });
    b.output(y, { dims: [1, 1, 2, 2] });
    const zeros = array64([1, 1, 4, 4]);
    await expect(pullbackOf(b.graph, { x: zeros }, ["x"], [array64([1, 1, 2, 2])])).rejects.toThrow(
      ModelError,
    );
  });
});
