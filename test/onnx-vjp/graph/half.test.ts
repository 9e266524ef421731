import { Float16Array } from "@petamoriken/float16";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHalf, toHalf } from "../../../src/onnx-vjp/graph/half.ts";

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
const floatsOf = (bits: Uint32Array) => new Float32Array(bits.buffer, bits.byteOffset, bits.length);
const all = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
/** The numbers of `all`, by the library that the table is of. */
const numbers = Float32Array.from(new Float16Array(all.buffer));
const least = 2 ** -24;

/** Numbers whose bits are not those of the library's rounding, and what they were rounded to. NaN has no bits of its own. */
function wrong(values: Float32Array): [number, number][] {
  const expected = new Uint16Array(new Float16Array(values).buffer);
  const got = toHalf(values);
  return Array.from(values, (x, i): [number, number] => [x, got[i]]).filter(
    ([x, bits], i) => !Number.isNaN(x) && bits !== expected[i],
  );
}

describe("toHalf", () => {
  it("keeps every number of half precision, with the sign of zero and of infinity", () => {
    const got = toHalf(numbers);
    expect(Array.from(all).filter((i) => !Number.isNaN(numbers[i]) && got[i] !== i)).toEqual([]);
  });

  it("rounds the middle between any two neighbors and what lies next to it", () => {
    const middles = Float32Array.from({ length: 0x7c00 }, (_, i) => {
      const [low, high] = [numbers[i], i === 0x7bff ? 2 ** 16 : numbers[i + 1]];
      return (low + high) / 2;
    });
    for (const offset of [-1, 0, 1]) {
      const near = floatsOf(bitsOf(middles).map((bits) => bits + offset));
      expect(wrong(near)).toEqual([]);
      expect(wrong(near.map((x) => -x))).toEqual([]);
      // The library aside: what is less goes down, what is more goes up, and the middle to the even one.
      const rounded = toHalf(near);
      const expected = all.subarray(0, 0x7c00).map((i) => i + (offset === 0 ? i % 2 : (offset + 1) / 2));
      expect(rounded).toEqual(expected);
    }
  });

  it("agrees with the library for any number", () => {
    const words = fc.uint32Array({ minLength: 64, maxLength: 64 });
    const small = fc.float32Array({ min: -1, max: 1, noNaN: true, minLength: 64, maxLength: 64 });
    const some = fc.oneof(words.map(floatsOf), small);
    fc.assert(
      fc.property(some, (values) => {
        expect(wrong(values)).toEqual([]);
      }),
    );
  });

  it.each([
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [least, 1],
    [least / 2, 0],
    [-least / 2, 0x8000],
    [least * 0.50001, 1],
    [least * 1.5, 2],
    [least * 2.5, 2],
    [1e-45, 0],
    [-1e-45, 0x8000],
    [2 ** -14 - least, 0x3ff],
    [2 ** -14 - least / 2, 0x400],
    [2 ** -14, 0x400],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [-65520, 0xfc00],
    [65536, 0x7c00],
    [3.4e38, 0x7c00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
  ])("makes %d to the bits %i", (value, bits) => {
    expect(toHalf(Float32Array.of(value))[0]).toBe(bits);
  });

  it("keeps what is not a number, whatever its bits", () => {
    const bits = Uint32Array.of(0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffc00000, 0x7f802000);
    const out = new Float32Array(bits.length);
    fromHalf(toHalf(floatsOf(bits)), out);
    expect(Array.from(out)).toEqual(Array.from(bits, () => Number.NaN));
  });

  it("reads a part of an array", () => {
    const values = Float32Array.of(1, 2, 3, 4);
    expect(Array.from(toHalf(values.subarray(1, 3)))).toEqual([0x4000, 0x4200]);
    expect(toHalf(new Float32Array(0))).toHaveLength(0);
  });
});

describe("fromHalf", () => {
  it("gives every number of half precision back exactly", () => {
    const out = new Float32Array(all.length);
    fromHalf(all, out);
    // By definition: a sign, five bits of exponent, ten of mantissa.
    const expected = Float32Array.from(all, (bits) => {
      const [exponent, mantissa] = [(bits >> 10) & 31, bits & 0x3ff];
      const sign = bits >> 15 ? -1 : 1;
      if (exponent === 31) return mantissa === 0 ? sign / 0 : Number.NaN;
      return sign * (exponent === 0 ? mantissa * least : (1 + mantissa / 1024) * 2 ** (exponent - 15));
    });
    expect(Array.from(all).filter((i) => !Object.is(out[i], expected[i]))).toEqual([]);
  });

  it("writes as many numbers as there are bits", () => {
    const out = new Float32Array(3).fill(9);
    fromHalf(Uint16Array.of(0x3c00, 0x8000), out);
    expect(Array.from(out)).toEqual([1, -0, 9]);
  });
});
