import { sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { type Array64, array64 } from "./check-rule.ts";

/** Applies `f` to every slice of `x` along `axes` (the slice flattened in row-major order). */
export function alongAxes(
  x: Array64,
  axes: readonly number[],
  f: (slice: number[], firstIndex: readonly number[]) => readonly number[],
): Array64 {
  const out = array64(x.dims);
  const strides = x.dims.map((_, i) => sizeOf(x.dims.slice(i + 1)));
  const offsets = (over: readonly number[]): number[] =>
    over.reduce<number[]>(
      (starts, axis) =>
        starts.flatMap((s) => Array.from({ length: x.dims[axis] }, (_, i) => s + i * strides[axis])),
      [0],
    );
  const outer = x.dims.map((_, i) => i).filter((i) => !axes.includes(i));
  const inner = offsets(axes);
  for (const start of offsets(outer)) {
    const index = x.dims.map((d, i) => Math.floor(start / strides[i]) % d);
    const y = f(
      inner.map((o) => x.data[start + o]),
      index,
    );
    inner.forEach((o, i) => {
      out.data[start + o] = y[i];
    });
  }
  return out;
}
