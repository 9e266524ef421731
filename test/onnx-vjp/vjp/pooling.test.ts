import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, ints, sizeOf } from "../../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { at, build } from "../../support/reference.ts";

/** A pooling window over one or two spatial axes. */
interface Pool {
  readonly dims: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  readonly ceil: boolean;
}

/** ONNX's output size; with ceil_mode, a last window that would begin in the padding behind is dropped. */
function outSize(p: Pool): number[] {
  return p.kernel.map((k, i) => {
    const size = p.dims[i + 2];
    const room = size + p.begin[i] + p.end[i] - (k - 1) * p.dilations[i] - 1;
    if (!p.ceil) return Math.floor(room / p.strides[i]) + 1;
    const out = Math.ceil(room / p.strides[i]) + 1;
    return (out - 1) * p.strides[i] >= size + p.begin[i] ? out - 1 : out;
  });
}

const perAxis = (rank: number, min: number, max: number) =>
  fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank });

const pools = (options: { dilated: boolean }): fc.Arbitrary<Pool> =>
  fc
    .integer({ min: 1, max: 2 })
    .chain((rank) =>
      fc.record({
        batch: fc.integer({ min: 1, max: 2 }),
        channels: fc.integer({ min: 1, max: 3 }),
        size: perAxis(rank, 1, 7),
        kernel: perAxis(rank, 1, 4),
        strides: perAxis(rank, 1, 4),
        dilations: options.dilated ? perAxis(rank, 1, 2) : fc.constant(new Array<number>(rank).fill(1)),
        begin: perAxis(rank, 0, 2),
        end: perAxis(rank, 0, 2),
        ceil: fc.boolean(),
      }),
    )
    .map(({ batch, channels, size, ...rest }) => ({ dims: [batch, channels, ...size], ...rest }))
    // ONNX Runtime wants pads below the kernel, and every window to meet the input somewhere.
    .filter((p) => p.kernel.every((k, i) => p.begin[i] < k && p.end[i] < k))
    .filter((p) => outSize({ ...p, ceil: false }).every((o) => o >= 1))
    .filter((p) => windows(p).every((w) => w.inside.length > 0));

interface WindowAt {
  /** Spatial positions inside the input that the window covers, in order. */
  readonly inside: readonly (readonly number[])[];
  /** How many of its positions lie in the input or its declared padding. */
  readonly padded: number;
}

/** Every window, in the order of the output's positions. */
function windows(p: Pool): WindowAt[] {
  const out = outSize(p);
  const list: WindowAt[] = [];
  const taps = build(p.kernel, () => 0).data.length;
  build(out, (o) => {
    const inside: number[][] = [];
    let padded = 0;
    for (let t = 0; t < taps; t++) {
      let rest = t;
      const tap = p.kernel.map((_, i) => {
        const inner = sizeOf(p.kernel.slice(i + 1));
        const index = Math.floor(rest / inner);
        rest %= inner;
        return index;
      });
      const position = o.map((v, i) => v * p.strides[i] - p.begin[i] + tap[i] * p.dilations[i]);
      if (position.every((v, i) => v >= 0 && v < p.dims[i + 2])) inside.push(position);
      if (position.every((v, i) => v < p.dims[i + 2] + p.end[i])) padded++;
    }
    list.push({ inside, padded });
    return 0;
  });
  return list;
}

/** Pools every channel: `reduce` makes one output of the values under a window. */
function pooled(p: Pool, x: Array64, reduce: (values: number[], window: WindowAt) => number): Array64 {
  const out = outSize(p);
  const all = windows(p);
  return build([p.dims[0], p.dims[1], ...out], ([n, c, ...o]) => {
    const window = all[o.reduce((flat, v, i) => flat * out[i]! + v, 0)];
    return reduce(
      window.inside.map((position) => at(x, [n!, c!, ...position])),
      window,
    );
  });
}

const attributesOf = (p: Pool) => ({
  kernel_shape: ints(p.kernel),
  strides: ints(p.strides),
  pads: ints([...p.begin, ...p.end]),
  ceil_mode: int(p.ceil ? 1 : 0),
});

/** Distinct values, so that a maximum stays where it is under small steps. */
function distinct(dims: readonly number[], seed: number): Array64 {
  const random = randomNumbers(seed);
  const order = Array.from({ length: sizeOf(dims) }, (_, i) => ({ i, key: random() }));
  order.sort((a, b) => a.key - b.key);
  return array64(
    dims,
    order.map(({ i }) => (i - order.length / 2) / 16),
  );
}

const max = (values: number[]) => Math.max(...values);
const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);

describe("pooling rules", () => {
  it("MaxPool: the maximum of each window takes its cotangent", async () => {
    await fc.assert(
      fc.asyncProperty(pools({ dilated: true }), fc.nat(), fc.boolean(), async (p, seed, indices) => {
        await checkRule({
          op: "MaxPool",
          attributes: { ...attributesOf(p), dilations: ints(p.dilations) },
          inputs: [{ ...distinct(p.dims, seed), variable: true }],
          outputs: indices ? 2 : 1,
          reference: ([x]) => pooled(p, x!, max),
          seed,
        });
      }),
      { numRuns: 80 },
    );
  }, 120_000);

  it("MaxPool with positions counted column by column", async () => {
    const p: Pool = {
      dims: [1, 2, 4, 5],
      kernel: [2, 3],
      strides: [2, 1],
      dilations: [1, 1],
      begin: [0, 0],
      end: [0, 0],
      ceil: false,
    };
    await checkRule({
      op: "MaxPool",
      attributes: { ...attributesOf(p), storage_order: int(1) },
      inputs: [{ ...distinct(p.dims, 5), variable: true }],
      outputs: 2,
      reference: ([x]) => pooled(p, x!, max),
    });
  });

  it("MaxPool in double precision", async () => {
    const b = new GraphBuilder();
    const pooled = b.op("MaxPool", [b.input("x", [1, 1, 4], "float64")], { kernel_shape: ints([2]) });
    b.output(b.op("Cast", [pooled], { to: int(1) }), { dims: [1, 1, 3] });
    const x = array64([1, 1, 4], [3, 1, 4, 2]);
    const { gradients } = await pullbackOf(b.graph, { x }, ["x"], [array64([1, 1, 3], [1, 10, 100])]);
    expect(gradients).toEqual([[1, 0, 110, 0]]);
  });

  it("AveragePool: each position gets its share, with and without the padding counted", async () => {
    await fc.assert(
      fc.asyncProperty(pools({ dilated: false }), fc.nat(), fc.boolean(), async (p, seed, withPads) => {
        await checkRule({
          op: "AveragePool",
          attributes: { ...attributesOf(p), count_include_pad: int(withPads ? 1 : 0) },
          inputs: [{ ...randomArray(p.dims, randomNumbers(seed)), variable: true }],
          reference: ([x]) => pooled(p, x!, (v, w) => sum(v) / (withPads ? w.padded : v.length)),
          step: 0.5,
          seed,
        });
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  const spatial = fc
    .tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 3 }), fc.nat())
    .chain(([n, c, seed]) =>
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }).map((size) => ({
        dims: [n, c, ...size],
        seed,
      })),
    );
  const overAll = (x: Array64, reduce: (values: number[]) => number): Array64 => {
    const area = sizeOf(x.dims.slice(2));
    return build([x.dims[0], x.dims[1], ...x.dims.slice(2).map(() => 1)], ([n, c]) => {
      const start = (n! * x.dims[1] + c!) * area;
      return reduce(Array.from(x.data.slice(start, start + area)));
    });
  };

  it("GlobalAveragePool", async () => {
    await fc.assert(
      fc.asyncProperty(spatial, async ({ dims, seed }) => {
        await checkRule({
          op: "GlobalAveragePool",
          inputs: [{ ...randomArray(dims, randomNumbers(seed)), variable: true }],
          reference: ([x]) => overAll(x!, (v) => sum(v) / v.length),
          step: 0.5,
          seed,
        });
      }),
      { numRuns: 30 },
    );
  });

  it("GlobalMaxPool", async () => {
    await fc.assert(
      fc.asyncProperty(spatial, async ({ dims, seed }) => {
        await checkRule({
          op: "GlobalMaxPool",
          inputs: [{ ...distinct(dims, seed), variable: true }],
          reference: ([x]) => overAll(x!, max),
          seed,
        });
      }),
      { numRuns: 30 },
    );
  });

  const power = (p: number) => (values: number[]) => sum(values.map((v) => Math.abs(v) ** p)) ** (1 / p);

  it("LpPool: p-norms of windows", async () => {
    await fc.assert(
      fc.asyncProperty(
        pools({ dilated: false }).map((p) => ({ ...p, ceil: false })),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(),
        async (p, order, seed) => {
          const { ceil_mode: _, ...attributes } = attributesOf(p);
          await checkRule({
            op: "LpPool",
            attributes: { ...attributes, p: int(order) },
            inputs: [{ ...distinct(p.dims, seed), variable: true }].map((x) => ({
              ...x,
              // No zero: |x| has a kink there.
              data: x.data.map((v) => v + 1 / 32),
            })),
            reference: ([x]) => pooled(p, x!, power(order)),
            seed,
          });
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);

  it("GlobalLpPool", async () => {
    await fc.assert(
      fc.asyncProperty(spatial, fc.integer({ min: 1, max: 3 }), async ({ dims, seed }, order) => {
        const x = distinct(dims, seed);
        await checkRule({
          op: "GlobalLpPool",
          attributes: { p: int(order) },
          inputs: [{ ...x, data: x.data.map((v) => v + 1 / 32), variable: true }],
          reference: ([v]) => overAll(v!, power(order)),
          seed,
        });
      }),
      { numRuns: 30 },
    );
  });
});
