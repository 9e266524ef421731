import { Float16Array } from "@petamoriken/float16";

/** The bits of `values` rounded to half precision. */
export function toHalf(values: Float32Array): Uint16Array {
  const rounded = new Float16Array(values);
  return new Uint16Array(rounded.buffer, rounded.byteOffset, rounded.length);
}

let table: Float32Array | undefined;

/** Half precision's bits as single precision, written to `out`; exact. */
export function fromHalf(bits: Uint16Array, out: Float32Array): void {
  // All 65,536 values: reading features is bound by this step otherwise.
  table ??= Float32Array.from(new Float16Array(Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).buffer));
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
}
