import type { GraphBuilder } from "../graph/builder.ts";
import { constantOf, float32Of } from "../graph/constant.ts";
import { type Constant, int, ints } from "../graph/ir.ts";
import type { Window } from "../graph/window.ts";
import { type Convolution, leading } from "./convolution-form.ts";

/** One residue of input positions along an axis: i = f + stride·t for t in [0, count). */
interface Phase {
  /** Kernel taps that reach it: first, first + stride, … (`taps` of them, maybe none). */
  readonly first: number;
  readonly taps: number;
  /** Padding of the stride-1 convolution over dy that makes it; negative cuts. */
  readonly before: number;
  readonly after: number;
}

/**
 * The input cotangent of a strided 2-D convolution as stride² convolutions of stride 1 over dy, one for each
 * residue of the input position, interleaved. Input position i = o·s − p + k gets w[k]·dy[o]: for i + p ≡ r
 * (mod s) only the taps k ≡ r (mod s) do, and over t they are a convolution. Undefined where a phase would
 * need dy to be cut, or with dilation.
 */
export function polyphaseGradient(
  b: GraphBuilder,
  dy: string,
  { weight, window, group, inDims, outDims }: Convolution,
): string | undefined {
  if (inDims.length !== 4 || window.dilations.some((d) => d !== 1)) return undefined;
  const [height, width] = inDims.slice(2) as [number, number];
  const [down, across] = window.strides as [number, number];
  const rows = phasesOf(window, 0, height, outDims[2]);
  const columns = phasesOf(window, 1, width, outDims[3]);
  if ([...rows, ...columns].some((p) => p.taps > 0 && (p.before < 0 || p.after < 0))) return undefined;
  const [n, C] = inDims as [number, number];
  const h = Math.ceil(height / down);
  const w = Math.ceil(width / across);
  const stripes = rows.map((row) => {
    const cells = columns.map((column) => {
      if (row.taps === 0 || column.taps === 0) return b.op("Expand", [b.scalar(0), b.ints([n, C, h, w])]);
      const part = b.constant(phaseWeight(weight.constant, group, row, column, down, across));
      return b.op("Conv", [dy, part], {
        kernel_shape: ints([row.taps, column.taps]),
        pads: ints([row.before, column.before, row.after, column.after]),
        group: int(group),
      });
    });
    return interleave(b, cells, [n, C, h, w], 3);
  });
  const whole = interleave(b, stripes, [n, C, h, w * across], 2);
  if (h * down === height && w * across === width) return whole;
  return leading(b, whole, [height, width]);
}

function phasesOf(window: Window, axis: number, size: number, out: number): Phase[] {
  const k = window.kernel[axis];
  const s = window.strides[axis];
  const p = window.begin[axis];
  const count = Math.ceil(size / s);
  return Array.from({ length: s }, (_, f) => {
    const first = (f + p) % s;
    const q = Math.floor((f + p) / s);
    const taps = Math.max(0, Math.ceil((k - first) / s));
    return { first, taps, before: taps - 1 - q, after: count + q - out };
  });
}

/** The taps of one phase, [M, C/g, kh, kw] to [C, M/g, taps, taps'], reversed. */
function phaseWeight(
  weight: Constant,
  group: number,
  row: Phase,
  column: Phase,
  down: number,
  across: number,
): Constant {
  const [M, Cg, kh, kw] = weight.dims as [number, number, number, number];
  const Mg = M / group;
  const from = float32Of(weight);
  const to = new Float32Array(Cg * group * Mg * row.taps * column.taps);
  for (let m = 0; m < M; m++) {
    const g = Math.floor(m / Mg);
    for (let c = 0; c < Cg; c++) {
      const target = ((g * Cg + c) * Mg + (m % Mg)) * row.taps * column.taps;
      for (let y = 0; y < row.taps; y++) {
        for (let x = 0; x < column.taps; x++) {
          const tap =
            (row.first + down * (row.taps - 1 - y)) * kw + column.first + across * (column.taps - 1 - x);
          to[target + y * column.taps + x] = from[(m * Cg + c) * kh * kw + tap];
        }
      }
    }
  }
  return constantOf("float32", [Cg * group, Mg, row.taps, column.taps], to);
}

/** Interleaves equal tensors along `axis`: element t of part f goes to t·parts + f. */
function interleave(
  b: GraphBuilder,
  parts: readonly string[],
  dims: readonly number[],
  axis: number,
): string {
  if (parts.length === 1) return parts[0];
  const apart = parts.map((part) => b.op("Unsqueeze", [part, b.ints([axis + 1])]));
  const joined = b.op("Concat", apart, { axis: int(axis + 1) });
  return b.reshape(
    joined,
    dims.map((d, i) => (i === axis ? d * parts.length : d)),
  );
}
