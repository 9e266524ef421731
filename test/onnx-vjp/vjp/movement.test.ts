import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, ints, sizeOf, text } from "../../../src/onnx-vjp/graph/ir.ts";
import {
  type Array64,
  array64,
  checkRule,
  randomArray,
  randomNumbers,
  relativeError,
} from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { at, broadcastableShapes, broadcastDims, build, shapes } from "../../support/reference.ts";

const variable = (dims: readonly number[], seed: number) => ({
  ...randomArray(dims, randomNumbers(seed)),
  variable: true,
});
const indices = (values: readonly number[], dims: readonly number[] = [values.length]) => ({
  ...array64(dims, values),
  dtype: "int64" as const,
});
const reshaped = (dims: readonly number[]) => (xs: readonly Array64[]) => array64(dims, xs[0].data);
/** A shape and one of its axes, counted from either end. */
const shapeAndAxis = (options = {}) =>
  shapes({ minLength: 1, ...options }).chain((dims) =>
    fc.record({
      dims: fc.constant(dims),
      axis: fc.nat({ max: dims.length - 1 }),
      fromEnd: fc.boolean(),
    }),
  );
const signed = (axis: number, rank: number, fromEnd: boolean) => (fromEnd ? axis - rank : axis);
const replace = (dims: readonly number[], axis: number, value: number) =>
  dims.map((d, i) => (i === axis ? value : d));

describe("rules of operators that keep the order of elements", () => {
  it("Reshape, Flatten, Squeeze and Unsqueeze", async () => {
    await fc.assert(
      fc.asyncProperty(shapes({ minLength: 1 }), fc.nat(), async (dims, seed) => {
        const x = variable(dims, seed);
        const size = sizeOf(dims);
        await checkRule({ op: "Reshape", inputs: [x, indices([-1])], reference: reshaped([size]), seed });
        await checkRule({
          op: "Flatten",
          inputs: [x],
          attributes: { axis: int(1) },
          reference: reshaped([dims[0], size / dims[0]]),
          seed,
        });
        await checkRule({
          op: "Unsqueeze",
          inputs: [x, indices([0, -1])],
          reference: reshaped([1, ...dims, 1]),
          seed,
        });
        const unit = variable([...dims.slice(0, 1), 1, ...dims.slice(1)], seed);
        await checkRule({ op: "Squeeze", inputs: [unit, indices([1])], reference: reshaped(dims), seed });
      }),
      { numRuns: 8 },
    );
  });

  it("Expand sums over the axes that it repeats", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastableShapes(2), fc.nat(), async ([from, to], seed) => {
        const full = broadcastDims(from!, to!);
        await checkRule({
          op: "Expand",
          inputs: [variable(from!, seed), indices(to!)],
          reference: ([x]) => build(full, (i) => at(x!, i)),
          seed,
        });
      }),
      { numRuns: 15 },
    );
  });
});

describe("rules of operators that reorder", () => {
  it("Transpose by any permutation, and by none", async () => {
    const permuted = shapes({ minLength: 1 }).chain((dims) =>
      fc.tuple(
        fc.constant(dims),
        fc.shuffledSubarray([...dims.keys()], { minLength: dims.length }),
        fc.boolean(),
      ),
    );
    await fc.assert(
      fc.asyncProperty(permuted, fc.nat(), async ([dims, shuffled, given], seed) => {
        const perm = given ? shuffled : [...dims.keys()].reverse();
        await checkRule({
          op: "Transpose",
          ...(given ? { attributes: { perm: ints(perm) } } : {}),
          inputs: [variable(dims, seed)],
          reference: ([x]) =>
            build(
              perm.map((p) => dims[p]),
              (i) =>
                at(
                  x!,
                  dims.map((_, axis) => i[perm.indexOf(axis)]),
                ),
            ),
          seed,
        });
      }),
      { numRuns: 15 },
    );
  });

  const blocks = fc.record({
    n: fc.integer({ min: 1, max: 2 }),
    c: fc.integer({ min: 1, max: 2 }),
    h: fc.integer({ min: 1, max: 3 }),
    w: fc.integer({ min: 1, max: 3 }),
    s: fc.integer({ min: 1, max: 3 }),
    mode: fc.constantFrom("DCR", "CRD"),
    seed: fc.nat(),
  });

  it("DepthToSpace in both modes", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, async ({ n, c, h, w, s, mode, seed }) => {
        await checkRule({
          op: "DepthToSpace",
          attributes: { blocksize: int(s), mode: text(mode) },
          inputs: [variable([n, c * s * s, h, w], seed)],
          reference: ([x]) =>
            build([n, c, h * s, w * s], ([i, k, y, z]) => {
              const within = (y! % s) * s + (z! % s);
              const channel = mode === "DCR" ? within * c + k! : k! * s * s + within;
              return at(x!, [i!, channel, Math.floor(y! / s), Math.floor(z! / s)]);
            }),
          seed,
        });
      }),
      { numRuns: 12 },
    );
  });

  it("SpaceToDepth", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, async ({ n, c, h, w, s, seed }) => {
        await checkRule({
          op: "SpaceToDepth",
          attributes: { blocksize: int(s) },
          inputs: [variable([n, c, h * s, w * s], seed)],
          reference: ([x]) =>
            build([n, c * s * s, h, w], ([i, k, y, z]) => {
              const within = Math.floor(k! / c);
              return at(x!, [i!, k! % c, y! * s + Math.floor(within / s), z! * s + (within % s)]);
            }),
          seed,
        });
      }),
      { numRuns: 12 },
    );
  });
});

describe("rules of operators that cut and join", () => {
  it("Concat of variables and constants", async () => {
    const parts = shapeAndAxis().chain(({ dims, axis, fromEnd }) =>
      fc.record({
        dims: fc.constant(dims),
        axis: fc.constant(axis),
        fromEnd: fc.constant(fromEnd),
        sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
        first: fc.boolean(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(parts, fc.nat(), async ({ dims, axis, fromEnd, sizes, first }, seed) => {
        const inputs = sizes.map((size, i) => ({
          ...variable(replace(dims, axis, size), seed + i),
          variable: i > 0 || first || sizes.length === 1,
        }));
        await checkRule({
          op: "Concat",
          attributes: { axis: int(signed(axis, dims.length, fromEnd)) },
          inputs,
          reference: (xs) =>
            build(
              replace(
                dims,
                axis,
                sizes.reduce((a, b) => a + b),
              ),
              (index) => {
                let position = index[axis];
                let k = 0;
                while (position >= sizes[k]) position -= sizes[k++];
                return at(xs[k], replace(index, axis, position));
              },
            ),
          seed,
        });
      }),
      { numRuns: 20 },
    );
  });

  it("Split, with any of its outputs used", async () => {
    const cases = fc.record({
      shape: shapeAndAxis(),
      sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
      even: fc.boolean(),
      used: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ shape: { dims, axis, fromEnd }, sizes, even, used, seed }) => {
        const parts = even ? sizes.map(() => sizes[0]) : sizes;
        const total = parts.reduce((a, b) => a + b);
        const some = parts.flatMap((_, k) => (used[k] ? [k] : []));
        const of = some.length > 0 ? some : [0];
        const attributes = { axis: int(signed(axis, dims.length, fromEnd)) };
        await checkRule({
          op: "Split",
          attributes: even ? { ...attributes, num_outputs: int(parts.length) } : attributes,
          inputs: [variable(replace(dims, axis, total), seed), ...(even ? [] : [indices(parts)])],
          outputs: parts.length,
          of,
          reference: ([x]) =>
            of.map((k) => {
              const start = parts.slice(0, k).reduce((a, b) => a + b, 0);
              return build(replace(dims, axis, parts[k]), (i) => at(x!, replace(i, axis, i[axis] + start)));
            }),
          seed,
        });
      }),
      { numRuns: 25 },
    );
  });

  it("Slice with any starts, ends and steps, on several axes", async () => {
    const bound = fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constantFrom(2 ** 63, -(2 ** 63)));
    const axisSlice = fc.record({
      start: bound,
      end: bound,
      step: fc.constantFrom(1, 1, 2, 3, -1, -2, -3),
      sliced: fc.boolean(),
    });
    const cases = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 7 }), axisSlice), { minLength: 1, maxLength: 3 })
      .chain((axes) => fc.record({ axes: fc.constant(axes), fromEnd: fc.boolean(), seed: fc.nat() }));
    /** Python's slice semantics: the positions taken, in order. */
    const positions = (size: number, start: number, end: number, step: number): number[] => {
      const clamp = (v: number, low: number, high: number) => Math.min(Math.max(v, low), high);
      const place = (v: number) => (v < 0 ? v + size : v);
      const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
      const from = clamp(place(start), 0, high);
      const to = clamp(place(end), low, high);
      const out: number[] = [];
      for (let i = from; step > 0 ? i < to : i > to; i += step) out.push(i);
      return out;
    };
    await fc.assert(
      fc.asyncProperty(cases, async ({ axes, fromEnd, seed }) => {
        const dims = axes.map(([size]) => size);
        const taken = axes.map(([size, { start, end, step, sliced }]) =>
          sliced ? positions(size, start, end, step) : [...new Array(size).keys()],
        );
        fc.pre(taken.every((t) => t.length > 0) && axes.some(([, { sliced }]) => sliced));
        const cut = axes.flatMap(([, slice], axis) => (slice.sliced ? [{ ...slice, axis }] : []));
        await checkRule({
          op: "Slice",
          inputs: [
            variable(dims, seed),
            indices(cut.map((s) => s.start)),
            indices(cut.map((s) => s.end)),
            indices(cut.map((s) => signed(s.axis, dims.length, fromEnd))),
            indices(cut.map((s) => s.step)),
          ],
          reference: ([x]) =>
            build(
              taken.map((t) => t.length),
              (index) =>
                at(
                  x!,
                  index.map((i, axis) => taken[axis][i]!),
                ),
            ),
          seed,
        });
      }),
      { numRuns: 40 },
    );
  });

  it("Slice without axes and steps", async () => {
    await checkRule({
      op: "Slice",
      inputs: [variable([4, 3], 1), indices([1]), indices([3])],
      reference: ([x]) => build([2, 3], ([i, j]) => at(x!, [i! + 1, j!])),
    });
  });

  it("Tile", async () => {
    const cases = shapes({ minLength: 1, maxLength: 3 }).chain((dims) =>
      fc.tuple(
        fc.constant(dims),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: dims.length, maxLength: dims.length }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, fc.nat(), async ([dims, repeats], seed) => {
        await checkRule({
          op: "Tile",
          inputs: [variable(dims, seed), indices(repeats)],
          reference: ([x]) =>
            build(
              dims.map((d, i) => d * repeats[i]),
              (index) =>
                at(
                  x!,
                  index.map((v, i) => v % dims[i]),
                ),
            ),
          seed,
        });
      }),
      { numRuns: 15 },
    );
  });

  it("Trilu on either side of any diagonal", async () => {
    const cases = fc.record({
      dims: shapes({ minLength: 2, maxLength: 3 }),
      k: fc.integer({ min: -3, max: 3 }),
      upper: fc.boolean(),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ dims, k, upper, seed }) => {
        await checkRule({
          op: "Trilu",
          attributes: { upper: int(upper ? 1 : 0) },
          inputs: [variable(dims, seed), { ...array64([], [k]), dtype: "int64" }],
          reference: ([x]) =>
            build(dims, (index) => {
              const above = index.at(-1)! - index.at(-2)!;
              return (upper ? above >= k : above <= k) ? at(x!, index) : 0;
            }),
          seed,
        });
      }),
      { numRuns: 12 },
    );
  });
});

describe("the rule of Pad", () => {
  /** What each mode reads at position i of an axis of `size` elements. */
  const source: Record<string, (i: number, size: number) => number | undefined> = {
    constant: (i, size) => (i >= 0 && i < size ? i : undefined),
    edge: (i, size) => Math.min(Math.max(i, 0), size - 1),
    reflect: (i, size) => [i, -i, 2 * size - 2 - i].find((p) => p >= 0 && p < size),
  };
  it.each(["constant", "edge", "reflect"])("mode %s", async (mode) => {
    const axis = fc
      .integer({ min: 2, max: 5 })
      .chain((size) =>
        fc.tuple(
          fc.constant(size),
          fc.integer({ min: mode === "constant" ? -1 : 0, max: size - 1 }),
          fc.integer({ min: mode === "constant" ? -1 : 0, max: size - 1 }),
        ),
      );
    const cases = fc.record({
      axes: fc.array(axis, { minLength: 1, maxLength: 3 }),
      lead: fc.boolean(),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ axes, lead, seed }) => {
        fc.pre(axes.every(([size, before, after]) => size + before + after > 0));
        const offset = lead ? 1 : 0;
        const dims = [...(lead ? [2] : []), ...axes.map(([size]) => size)];
        const begins = [...(lead ? [0] : []), ...axes.map(([, before]) => before)];
        const ends = [...(lead ? [0] : []), ...axes.map(([, , after]) => after)];
        const value = 0.75;
        await checkRule({
          op: "Pad",
          attributes: { mode: text(mode) },
          inputs: [
            variable(dims, seed),
            indices([...begins.slice(offset), ...ends.slice(offset)]),
            mode === "constant" ? array64([], [value]) : "",
            indices(axes.map((_, i) => i + offset)),
          ],
          reference: ([x]) =>
            build(
              dims.map((d, i) => d + begins[i] + ends[i]),
              (index) => {
                const from = index.map((v, i) => source[mode](v - begins[i], dims[i]));
                return from.includes(undefined) ? value : at(x!, from as number[]);
              },
            ),
          seed,
        });
      }),
      { numRuns: 20 },
    );
  });
});

describe("rules of gathers and scatters", () => {
  const gathered = (dims: readonly number[], axis: number, picked: Array64) => (xs: readonly Array64[]) =>
    build([...dims.slice(0, axis), ...picked.dims, ...dims.slice(axis + 1)], (index) => {
      const rank = picked.dims.length;
      const p = at(picked, index.slice(axis, axis + rank));
      const row = p < 0 ? p + dims[axis] : p;
      return at(xs[0], [...index.slice(0, axis), row, ...index.slice(axis + rank)]);
    });

  it("Gather of one row by a scalar index (the class token)", async () => {
    await fc.assert(
      fc.asyncProperty(shapeAndAxis(), fc.nat(), async ({ dims, axis, fromEnd }, seed) => {
        const picked = array64([], [fromEnd ? -1 : seed % dims[axis]]);
        await checkRule({
          op: "Gather",
          attributes: { axis: int(axis) },
          inputs: [variable(dims, seed), { ...picked, dtype: "int64" }],
          reference: gathered(dims, axis, picked),
          seed,
        });
      }),
      { numRuns: 12 },
    );
  });

  it("Gather by indices of any shape: a run, a permutation, with gaps, with repetitions", async () => {
    const cases = shapeAndAxis({ max: 6 }).chain(({ dims, axis, fromEnd }) =>
      fc.record({
        dims: fc.constant(dims),
        axis: fc.constant(axis),
        fromEnd: fc.constant(fromEnd),
        picked: fc.oneof(
          fc
            .tuple(fc.nat({ max: dims[axis] - 1 }), fc.nat({ max: dims[axis] - 1 }))
            .map(([a, b]) => Array.from({ length: Math.abs(a - b) + 1 }, (_, i) => Math.min(a, b) + i)),
          fc.shuffledSubarray([...new Array(dims[axis]).keys()], { minLength: 1 }),
          fc.array(fc.integer({ min: -dims[axis], max: dims[axis] - 1 }), { minLength: 1, maxLength: 8 }),
        ),
        column: fc.boolean(),
        seed: fc.nat(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ dims, axis, fromEnd, picked, column, seed }) => {
        const shape = column ? [picked.length, 1] : [picked.length];
        const table = array64(shape, picked);
        await checkRule({
          op: "Gather",
          attributes: { axis: int(signed(axis, dims.length, fromEnd)) },
          inputs: [variable(dims, seed), indices(picked, shape)],
          reference: gathered(dims, axis, table),
          seed,
        });
      }),
      { numRuns: 40 },
    );
  });

  it("Gather by indices that are computed from another input", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapeAndAxis({ maxLength: 3 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
        async ({ dims, axis, fromEnd }, numbers) => {
          const size = dims[axis];
          const picked = numbers.map((v) => (v % size) - (v % 2 === 1 ? size : 0));
          const b = new GraphBuilder();
          const x = b.input("x", dims);
          const i = b.input("i", [picked.length], "int64");
          const rank = dims.length;
          const out = replace(dims, axis, picked.length);
          b.output(b.op("Gather", [x, i], { axis: int(signed(axis, rank, fromEnd)) }), { dims: out });
          const cotangent = randomArray(out, randomNumbers(numbers.length));
          const inputs = { x: array64(dims), i: array64([picked.length], picked) };
          const { gradients } = await pullbackOf(b.graph, inputs, ["x"], [cotangent]);
          const expected = build(dims, (index) =>
            picked.reduce((sum, p, k) => {
              const hit = (p < 0 ? p + size : p) === index[axis];
              return hit ? sum + at(cotangent, replace(index, axis, k)) : sum;
            }, 0),
          );
          expect(relativeError(gradients[0], expected.data)).toBeLessThan(1e-6);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("Gather with many repetitions, where a one-hot matrix would be large", async () => {
    const size = 3000;
    const picked = Array.from({ length: 2 * size }, (_, k) => (7 * k) % size);
    const b = new GraphBuilder();
    const x = b.input("x", [1, size, 2]);
    b.output(b.op("Gather", [x, b.ints(picked)], { axis: int(1) }), { dims: [1, 2 * size, 2] });
    const cotangent = randomArray([1, 2 * size, 2], randomNumbers(5));
    const { gradients, ops } = await pullbackOf(b.graph, { x: array64([1, size, 2]) }, ["x"], [cotangent]);
    const expected = new Float64Array(2 * size);
    for (const [e, v] of cotangent.data.entries()) expected[2 * picked[e >> 1]! + (e % 2)] += v;
    expect(relativeError(gradients[0], expected)).toBeLessThan(1e-6);
    expect(ops).not.toContain("MatMul");
  });

  it("GatherElements, also where an element is taken twice", async () => {
    await fc.assert(
      fc.asyncProperty(shapeAndAxis({ max: 3 }), fc.nat(), async ({ dims, axis, fromEnd }, seed) => {
        const random = randomNumbers(seed);
        const size = dims[axis];
        const shape = replace(dims, axis, size + 1);
        const picked = build(shape, () => Math.floor(((random() + 1) / 2) * size * 0.999));
        await checkRule({
          op: "GatherElements",
          attributes: { axis: int(signed(axis, dims.length, fromEnd)) },
          inputs: [variable(dims, seed), { ...picked, dtype: "int64" }],
          reference: ([x]) => build(shape, (index) => at(x!, replace(index, axis, at(picked, index)))),
          seed,
        });
      }),
      { numRuns: 15 },
    );
  });

  it("GatherND with and without batch axes", async () => {
    const cases = shapes({ minLength: 2, max: 3 }).chain((dims) =>
      fc.nat({ max: dims.length - 1 }).chain((batched) =>
        fc.record({
          dims: fc.constant(dims),
          batched: fc.constant(batched),
          depth: fc.integer({ min: 1, max: dims.length - batched }),
          count: fc.integer({ min: 1, max: 4 }),
          seed: fc.nat(),
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ dims, batched, depth, count, seed }) => {
        const random = randomNumbers(seed);
        const tuples = build([...dims.slice(0, batched), count, depth], (index) => {
          const size = dims[batched + index.at(-1)!];
          return Math.floor(((random() + 1) / 2) * size * 0.999) - (seed % 2) * size;
        });
        await checkRule({
          op: "GatherND",
          attributes: { batch_dims: int(batched) },
          inputs: [variable(dims, seed), { ...tuples, dtype: "int64" }],
          reference: ([x]) =>
            build([...dims.slice(0, batched), count, ...dims.slice(batched + depth)], (index) => {
              const tuple = index.slice(0, batched + 1);
              const picked = Array.from({ length: depth }, (_, k) => {
                const p = at(tuples, [...tuple, k]);
                return p < 0 ? p + dims[batched + k] : p;
              });
              return at(x!, [...index.slice(0, batched), ...picked, ...index.slice(batched + 1)]);
            }),
          seed,
        });
      }),
      { numRuns: 25 },
    );
  });

  it.each(["none", "add"])("ScatterElements with the reduction %s", async (reduction) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 5 }), fc.nat(), async (size, seed) => {
        // A different place for every update of a row.
        const places = build([2, size - 1], ([i, j]) => (j! + i! + seed) % size);
        await checkRule({
          op: "ScatterElements",
          attributes: { axis: int(1), reduction: text(reduction) },
          inputs: [
            variable([2, size], seed),
            { ...places, dtype: "int64" },
            variable([2, size - 1], seed + 1),
          ],
          reference: ([data, , updates]) => {
            const out = array64(data!.dims, data!.data);
            for (const [e, place] of places.data.entries()) {
              const target = Math.floor(e / (size - 1)) * size + place;
              out.data[target] = updates!.data[e] + (reduction === "add" ? out.data[target] : 0);
            }
            return out;
          },
          seed,
        });
      }),
      { numRuns: 8 },
    );
  });

  it.each(["none", "add"])("ScatterND with the reduction %s", async (reduction) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.nat(), async (width, seed) => {
        const rows = [3, 0];
        await checkRule({
          op: "ScatterND",
          attributes: { reduction: text(reduction) },
          inputs: [variable([4, width], seed), indices(rows, [2, 1]), variable([2, width], seed + 1)],
          reference: ([data, , updates]) =>
            build([4, width], ([i, j]) => {
              const k = rows.indexOf(i!);
              if (k === -1) return at(data!, [i!, j!]);
              return at(updates!, [k, j!]) + (reduction === "add" ? at(data!, [i!, j!]) : 0);
            }),
          seed,
        });
      }),
      { numRuns: 8 },
    );
  });
});
