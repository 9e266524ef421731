import { Float16Array } from "@petamoriken/float16";

/** The bits of `values` rounded to half precision, ties to even. */
export function toHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) out[i] = halfOf(bits[i]);
  return out;
}

/**
 * Bits of a single-precision number to those of the half-precision one next to it. Millions of weights go through
 * here: a table of the library's takes a hundred times longer (docs/notes/performance.md).
 */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= 0x47800000) return sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00);
  // A carry into the exponent is right, also the last one, into infinity.
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  if (size < 0x33000000) return sign;
  const mantissa = (size & 0x7fffff) | 0x800000;
  const shift = 126 - (size >>> 23);
  const whole = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return sign | (rest > middle || (rest === middle && whole % 2 === 1) ? whole + 1 : whole);
}

let table: Float32Array | undefined;

/** Half precision's bits as single precision, written to `out`; exact. */
export function fromHalf(bits: Uint16Array, out: Float32Array): void {
  // All 65,536 values: reading features is bound by this step otherwise.
  table ??= Float32Array.from(new Float16Array(Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).buffer));
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!];
}
