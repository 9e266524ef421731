import fc from "fast-check";
import { sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64, randomNumbers } from "./check-rule.ts";

/** Plain double-precision array functions that the reference implementations of the rule tests are made of. */

/** NumPy's result shape of broadcasting. */
export function broadcastDims(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((s) => s[i - rank + s.length] ?? 1);
    return sizes.includes(0) ? 0 : Math.max(...sizes);
  });
}

/** Distance in memory between neighbors along each axis. */
export function stridesOf(dims: readonly number[]): number[] {
  return dims.map((_, i) => sizeOf(dims.slice(i + 1)));
}

/** An array of shape `dims` whose element at a multi-index is `value(index)`. */
export function build(dims: readonly number[], value: (index: readonly number[]) => number): Array64 {
  const strides = stridesOf(dims);
  const out = array64(dims);
  for (let i = 0; i < out.data.length; i++) {
    out.data[i] = value(strides.map((s, k) => Math.floor(i / s) % dims[k]));
  }
  return out;
}

/** The element at a multi-index, with NumPy's broadcasting of missing and unit axes. */
export function at(x: Array64, index: readonly number[]): number {
  const lead = index.length - x.dims.length;
  let offset = 0;
  for (const [k, size] of x.dims.entries()) offset = offset * size + (size === 1 ? 0 : index[k + lead]);
  return x.data[offset];
}

/** `f` of the elements of broadcast arrays. */
export function zip(f: (...values: number[]) => number, ...arrays: readonly Array64[]): Array64 {
  return build(broadcastDims(...arrays.map((a) => a.dims)), (index) => f(...arrays.map((a) => at(a, index))));
}

/** Numbers between −`scale` and `scale` that keep `gap` away from every kink, rounded to float32. */
export function awayFrom(
  kinks: readonly number[],
  dims: readonly number[],
  seed: number,
  scale = 2,
  gap = 0.02,
): Array64 {
  const random = randomNumbers(seed);
  const draw = (): number => {
    const x = Math.fround(random() * scale);
    return kinks.some((k) => Math.abs(x - k) < gap) ? draw() : x;
  };
  return array64(dims, Float64Array.from({ length: sizeOf(dims) }, draw));
}

/** Shapes of rank `minLength` to `maxLength` with sides of 1 to `max`. */
export const shapes = (options: { minLength?: number; maxLength?: number; max?: number } = {}) =>
  fc.array(fc.integer({ min: 1, max: options.max ?? 4 }), {
    minLength: options.minLength ?? 0,
    maxLength: options.maxLength ?? 4,
  });

/** `n` shapes that broadcast together: a full shape with leading axes dropped and sides set to 1 at random. */
export const broadcastableShapes = (n: number) =>
  shapes({ minLength: 1 }).chain((full) =>
    fc.tuple(
      ...Array.from({ length: n }, () =>
        fc
          .tuple(
            fc.integer({ min: 0, max: full.length }),
            fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }),
          )
          .map(([drop, ones]) => full.map((d, i) => (ones[i] ? 1 : d)).slice(drop)),
      ),
    ),
  );
