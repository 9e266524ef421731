import fc from "fast-check";
import { describe, it } from "vitest";
import { type Attributes, float, int, ints, text } from "../../../../src/onnx-vjp/graph/ir.ts";
import { compositeLowerings } from "../../../../src/onnx-vjp/prepare/lower/composite.ts";
import { alongAxes } from "../../../support/along-axes.ts";
import { checkLowering, type LoweringCase } from "../../../support/check-lowering.ts";
import { type Array64, array64, randomArray, randomNumbers } from "../../../support/check-rule.ts";

const size = fc.integer({ min: 1, max: 4 });
const check = (c: LoweringCase) => checkLowering(compositeLowerings, c);
const sample = async <T>(values: fc.Arbitrary<T>, f: (value: T, random: () => number) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(values, fc.nat(), (value, seed) => f(value, randomNumbers(seed))),
    { numRuns: 15 },
  );

describe("composite lowerings", () => {
  it.each(["none", "tanh"])("Gelu, approximate %s", async (approximate) => {
    await sample(fc.array(size, { minLength: 1, maxLength: 3 }), (dims, random) =>
      check({
        op: "Gelu",
        opset: 20,
        attributes: { approximate: text(approximate) },
        inputs: [randomArray(dims, random, 4)],
      }),
    );
  });

  it("Attention of heads, of any number that share keys", async () => {
    await sample(
      fc.record({
        batch: size,
        keyHeads: size,
        shared: size,
        length: size,
        keys: size,
        width: size,
        outWidth: size,
        flat: fc.boolean(),
        scale: fc.constantFrom(undefined, 0.3),
        causal: fc.boolean(),
        softcap: fc.constantFrom(0, 1.5),
      }),
      ({ batch, keyHeads, shared, length, keys, width, outWidth, flat, scale, causal, softcap }, random) => {
        const heads = keyHeads * shared;
        const dims = (count: number, rows: number, columns: number): number[] =>
          flat ? [batch, rows, count * columns] : [batch, count, rows, columns];
        const attributes: Record<string, Attributes[string]> = {
          is_causal: int(causal ? 1 : 0),
          softcap: float(softcap),
        };
        if (flat) {
          attributes.q_num_heads = int(heads);
          attributes.kv_num_heads = int(keyHeads);
        }
        if (scale !== undefined) attributes.scale = float(scale);
        return check({
          op: "Attention",
          opset: 23,
          attributes,
          inputs: [
            randomArray(dims(heads, length, width), random, 2),
            randomArray(dims(keyHeads, keys, width), random, 2),
            randomArray(dims(keyHeads, keys, outWidth), random),
          ],
        });
      },
    );
  });

  it("Attention with a mask of numbers or booleans", async () => {
    await sample(
      fc.record({
        batch: size,
        heads: size,
        length: size,
        keys: fc.integer({ min: 2, max: 4 }),
        boolean: fc.boolean(),
        rank: fc.integer({ min: 2, max: 4 }),
        wide: fc.boolean(),
        causal: fc.boolean(),
      }),
      ({ batch, heads, length, keys, boolean, rank, wide, causal }, random) => {
        const full = [wide ? batch : 1, wide ? heads : 1, length, keys].slice(4 - rank);
        const numbers = randomArray(full, random, 2);
        // The first key is never masked.
        const allowed = array64(
          full,
          numbers.data.map((v, i) => (v > 0 || i % keys === 0 ? 1 : 0)),
        );
        return check({
          op: "Attention",
          opset: 23,
          attributes: { is_causal: int(causal ? 1 : 0) },
          inputs: [
            randomArray([batch, heads, length, 3], random, 2),
            randomArray([batch, heads, keys, 3], random, 2),
            randomArray([batch, heads, keys, 2], random),
            boolean ? { ...allowed, dtype: "bool" } : numbers,
          ],
        });
      },
    );
  });

  it("RMSNormalization over trailing axes, its scale broadcast", async () => {
    await sample(
      fc.tuple(fc.array(size, { minLength: 1, maxLength: 4 }), fc.nat(), fc.boolean()),
      ([dims, pick, one], random) => {
        const axis = pick % dims.length;
        const scale = randomArray(one ? [1] : dims.slice(axis), random);
        const x = randomArray(dims, random);
        return check({
          op: "RMSNormalization",
          opset: 23,
          attributes: { axis: int(pick % 2 ? axis : axis - dims.length), epsilon: float(1e-3) },
          inputs: [x, scale],
          reference: () =>
            alongAxes(x, dims.map((_, i) => i).slice(axis), (slice) => {
              const square = slice.reduce((sum, v) => sum + v * v, 0) / slice.length;
              return slice.map((v, i) => (v / Math.sqrt(square + 1e-3)) * scale.data[one ? 0 : i]);
            }),
        });
      },
    );
  });

  it("SimplifiedLayerNormalization over several axes, of sizes that ONNX Runtime mistakes", async () => {
    await sample(
      fc.tuple(fc.array(size, { minLength: 1, maxLength: 4 }), fc.nat(), fc.constantFrom([3], [1, 2])),
      ([lead, pick, last], random) => {
        const dims = [...lead, ...last];
        const axis = last.length > 1 ? lead.length : pick % (dims.length - 1);
        const [x, scale] = [randomArray(dims, random), randomArray(dims.slice(axis), random)];
        return check({
          op: "SimplifiedLayerNormalization",
          opset: 18,
          attributes: { axis: int(axis), epsilon: float(1e-3) },
          inputs: [x, scale],
          reference: () =>
            alongAxes(x, dims.map((_, i) => i).slice(axis), (slice) => {
              const square = slice.reduce((sum, v) => sum + v * v, 0) / slice.length;
              return slice.map((v, i) => (v / Math.sqrt(square + 1e-3)) * scale.data[i]);
            }),
        });
      },
    );
  });

  it("RotaryEmbedding of halves or neighbors, with or without positions", async () => {
    await sample(
      fc.record({
        batch: size,
        heads: size,
        length: size,
        half: size,
        rest: fc.constantFrom(0, 2, 4),
        flat: fc.boolean(),
        interleaved: fc.boolean(),
        positions: fc.boolean(),
      }),
      ({ batch, heads, length, half, rest, flat, interleaved, positions }, random) => {
        const width = 2 * half + rest;
        const attributes: Record<string, Attributes[string]> = { interleaved: int(interleaved ? 1 : 0) };
        if (flat) attributes.num_heads = int(heads);
        if (rest > 0) attributes.rotary_embedding_dim = int(2 * half);
        const cache = () => randomArray(positions ? [10, half] : [batch, length, half], random);
        const inputs = [
          randomArray(flat ? [batch, length, heads * width] : [batch, heads, length, width], random),
          cache(),
          cache(),
        ];
        const indices = array64(
          [batch, length],
          Array.from({ length: batch * length }, () => Math.floor((random() + 1) * 5)),
        );
        return check({
          op: "RotaryEmbedding",
          opset: 23,
          attributes,
          inputs: positions ? [...inputs, { ...indices, dtype: "int64" as const }] : inputs,
        });
      },
    );
  });

  it.each([18, 21])("GroupNormalization of operator set %i", async (opset) => {
    await sample(
      fc.tuple(size, size, size, fc.array(size, { minLength: 1, maxLength: 3 })),
      ([n, groups, each, spatial], random) => {
        const channels = groups * each;
        const count = opset < 21 ? groups : channels;
        const x = randomArray([n, channels, ...spatial], random);
        const scale = randomArray([count], random);
        const bias = randomArray([count], random);
        return check({
          op: "GroupNormalization",
          opset,
          attributes: { num_groups: int(groups), epsilon: float(1e-3) },
          inputs: [x, scale, bias],
          reference: () => {
            const inner = spatial.reduce((p, d) => p * d, 1);
            const grouped = array64([n, groups, each * inner], x.data);
            const y = alongAxes(grouped, [2], (slice, [, group]) => {
              const mean = slice.reduce((sum, v) => sum + v, 0) / slice.length;
              const variance = slice.reduce((sum, v) => sum + (v - mean) ** 2, 0) / slice.length;
              return slice.map((v, i) => {
                const k = opset < 21 ? group! : group! * each + Math.floor(i / inner);
                return ((v - mean) / Math.sqrt(variance + 1e-3)) * scale.data[k] + bias.data[k];
              });
            });
            return array64(x.dims, y.data);
          },
        });
      },
    );
  });

  it("MeanVarianceNormalization over its axes", async () => {
    await sample(
      fc.tuple(fc.tuple(size, size, size, size), fc.constantFrom(undefined, [1], [0, 2], [-1, -2])),
      ([dims, axes], random) =>
        check({
          op: "MeanVarianceNormalization",
          opset: 13,
          attributes: axes === undefined ? {} : { axes: ints(axes) },
          inputs: [randomArray(dims, random)],
          reference: ([x]) =>
            alongAxes(
              x!,
              (axes ?? [0, 2, 3]).map((axis) => (axis + 4) % 4),
              (slice) => {
                const mean = slice.reduce((sum, v) => sum + v, 0) / slice.length;
                const deviation = Math.sqrt(
                  slice.reduce((sum, v) => sum + (v - mean) ** 2, 0) / slice.length,
                );
                return slice.map((v) => (v - mean) / (deviation + 1e-9));
              },
            ),
        }),
    );
  });

  it("Shrink", async () => {
    await sample(fc.tuple(size, size), (dims, random) =>
      check({
        op: "Shrink",
        opset: 9,
        attributes: { bias: float(0.25), lambd: float(0.5) },
        inputs: [randomArray(dims, random)],
      }),
    );
  });

  it("CastLike and Size", async () => {
    const x: Array64 = randomArray([2, 3], randomNumbers(1), 5);
    await check({ op: "CastLike", opset: 15, inputs: [x, array64([1], [1])] });
    await check({
      op: "Size",
      opset: 18,
      inputs: [{ ...array64([2, 3]), dtype: "int64" }],
      reference: () => array64([], [6]),
    });
  });
});
