import type { GraphBuilder } from "../../graph/builder.ts";
import { constantOf, numbersOf } from "../../graph/constant.ts";
import { type DataType, fromFront, int, intAttribute, sizeOf } from "../../graph/ir.ts";
import type { Lowering, LoweringContext, LoweringTable } from "./lowering.ts";

/** A discrete Fourier transform of `from` numbers to `to`, of a signal of `length` numbers. */
interface Transform {
  readonly from: number;
  readonly to: number;
  readonly length: number;
  /** 2 for complex numbers, 1 for real ones. */
  readonly parts: readonly [number, number];
  readonly inverse: boolean;
  /** Whether the input is the first half of a spectrum, of which the other half is the conjugate. */
  readonly half: boolean;
}

/**
 * The matrix of a transform, [from·parts, to·parts]: e^(∓2πi·jk/length), over the length for the inverse. Numbers behind
 * the end of the signal, or of the spectrum, count for nothing.
 */
function matrixOf({ from, to, length, parts: [a, c], inverse, half }: Transform): Float64Array {
  const matrix = new Float64Array(from * a * to * c);
  const sign = inverse ? 1 : -1;
  const used = Math.min(from, half ? Math.floor(length / 2) + 1 : length);
  for (let j = 0; j < used; j++) {
    // Each frequency of a half spectrum stands for its conjugate, too, but for the first and the middle one.
    const twice = half && j > 0 && 2 * j !== length ? 2 : 1;
    const scale = (inverse ? 1 / length : 1) * twice;
    for (let k = 0; k < to; k++) {
      const angle = (sign * 2 * Math.PI * ((j * k) % length)) / length;
      const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
      const at = (p: number, q: number) => (j * a + p) * to * c + k * c + q;
      matrix[at(0, 0)] = cos;
      if (c === 2 && !half) matrix[at(0, 1)] = sin;
      if (a === 2) matrix[at(1, 0)] = -sin;
      if (a === 2 && c === 2 && !half) matrix[at(1, 1)] = cos;
    }
  }
  return matrix;
}

/** x [..., from, parts] times the transform: [..., to, parts]. */
function transformed(
  b: GraphBuilder,
  x: string,
  lead: readonly number[],
  dtype: DataType,
  transform: Transform,
): string {
  const { from, to, parts } = transform;
  const matrix = b.constant(constantOf(dtype, [from * parts[0], to * parts[1]], matrixOf(transform)));
  const product = b.op("MatMul", [b.reshape(x, [sizeOf(lead), from * parts[0]]), matrix]);
  return b.reshape(product, [...lead, to, parts[1]]);
}

/** DFT as a product with its matrix along the axis. */
const dft: Lowering = ({ node, b, type, constant, opset }) => {
  const [x, lengthInput = "", axisInput = ""] = node.inputs as readonly [string, string?, string?];
  const { dims, dtype } = type(x);
  const rank = dims.length;
  const axisConstant = axisInput === "" ? undefined : constant(axisInput);
  if ((axisInput !== "" && !axisConstant) || (lengthInput !== "" && !constant(lengthInput))) return undefined;
  const given = axisConstant ? numbersOf(axisConstant)[0] : intAttribute(node, "axis", opset < 20 ? 1 : -2);
  const axis = fromFront(given, rank);
  const out = type(node.outputs[0]).dims;
  const inverse = intAttribute(node, "inverse", 0) === 1;
  const half = inverse && intAttribute(node, "onesided", 0) === 1;
  const from = dims[axis];
  const length = lengthInput === "" ? (half ? 2 * (from - 1) : from) : numbersOf(constant(lengthInput)!)[0];
  // The axis next to the parts of its numbers.
  const perm = [...dims.keys()].filter((i) => i !== axis).toSpliced(rank - 2, 0, axis);
  const lead = perm.slice(0, -2).map((i) => dims[i]);
  const y = transformed(b, b.transpose(x, perm), lead, dtype, {
    from,
    length,
    inverse,
    half,
    to: out[axis],
    parts: [dims[rank - 1], out[rank - 1]],
  });
  const back = [...dims.keys()].map((i) => perm.indexOf(i));
  return [b.transpose(y, back)];
};

/** STFT: frames of the signal, times the window, each transformed. */
const stft: Lowering = (context) => {
  const { node, b, type } = context;
  const [signal, , window = ""] = node.inputs as readonly [string, string, string?, string?];
  const step = numberOf(context, 1);
  const [batch, size, parts] = type(signal).dims as [number, number, number];
  const { dtype } = type(signal);
  const length = numberOf(context, 3) ?? (window === "" ? undefined : type(window).dims[0]);
  if (step === undefined || length === undefined) return undefined;
  const frames = Math.floor((size - length) / step) + 1;
  const places = Array.from(
    { length: frames * length },
    (_, i) => Math.floor(i / length) * step + (i % length),
  );
  const picked = b.op("Gather", [signal, b.ints(places)], { axis: int(1) });
  const framed = b.reshape(picked, [batch, frames, length, parts]);
  const weighted = window === "" ? framed : b.op("Mul", [framed, b.reshape(window, [length, 1])]);
  const to = type(node.outputs[0]).dims[2];
  return [
    transformed(b, weighted, [batch, frames], dtype, {
      from: length,
      to,
      length,
      inverse: false,
      half: false,
      parts: [parts, 2],
    }),
  ];
};

/** The number of constant input `i`; undefined where it is absent or computed. */
function numberOf({ node, constant }: LoweringContext, i: number): number | undefined {
  const known = constant(node.inputs[i] ?? "");
  return known && numbersOf(known)[0];
}

export const fourierLowerings: LoweringTable = { DFT: dft, STFT: stft };
