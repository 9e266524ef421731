import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Float16Array } from "@petamoriken/float16";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { parseSafetensorsHeader, safetensorsFloats } from "../../src/files/safetensors-header.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-safetensors-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const encoded = (header: object) => new TextEncoder().encode(JSON.stringify(header));

/** A header with tensors at these places, in a file of `bytes` bytes of data. */
function parse(places: Record<string, [number, number]>, bytes: number) {
  const entries = Object.entries(places).map(([name, [from, to]]) => [
    name,
    { dtype: "U8", shape: [to - from], data_offsets: [from, to] },
  ]);
  const text = encoded(Object.fromEntries(entries));
  return parseSafetensorsHeader("x.safetensors", text, 8 + text.length + bytes);
}

describe("a safetensors header", () => {
  it("gives every tensor's place in the file", () => {
    const { tensors } = parse({ b: [4, 10], a: [0, 4], none: [4, 4] }, 10);
    const a = tensors.get("a")!;
    expect(a).toMatchObject({ dtype: "U8", shape: [4], bytes: 4 });
    expect(tensors.get("b")!.offset - a.offset).toBe(4);
  });

  it("is refused where two tensors share bytes, which are named", () => {
    expect(() => parse({ one: [0, 5], two: [4, 8] }, 8)).toThrow(/"one" and "two" overlap/);
    expect(() => parse({ one: [0, 5], two: [0, 5] }, 5)).toThrow(DataError);
  });

  it("is refused where a tensor leaves the file", () => {
    expect(() => parse({ one: [0, 5], two: [5, 9] }, 8)).toThrow(/"two" .* ends 1 bytes after the file/);
  });

  it("is refused where shape and offsets disagree", () => {
    const text = encoded({ w: { dtype: "F32", shape: [2, 3], data_offsets: [0, 20] } });
    expect(() => parseSafetensorsHeader("x", text, 1000)).toThrow(/F32 \[2, 3\] needs 24 bytes, .* span 20/);
  });

  it("of any other content is read or refused as damaged, and nothing else", () => {
    const number = fc.oneof(fc.integer({ min: -4, max: 60 }), fc.double());
    const entry = fc.record({
      dtype: fc.constantFrom("F32", "F16", "U8", "Q4", "toString"),
      shape: fc.array(number, { maxLength: 3 }),
      data_offsets: fc.array(number, { minLength: 1, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue())), (header) => {
        const text = encoded(header);
        try {
          const { tensors } = parseSafetensorsHeader("x", text, 8 + text.length + 50);
          for (const { offset, bytes } of tensors.values())
            if (offset < 8 + text.length || offset + bytes > 8 + text.length + 50) throw new Error("outside");
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
        }
      }),
    );
  });
});

describe("half-precision values", () => {
  const bytesOf = (view: ArrayBufferView) =>
    new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);

  it("of bfloat16 are the float32 with the same upper half", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 1 }), (numbers) => {
        const bits = new Uint32Array(Float32Array.from(numbers).buffer);
        const upper = Uint16Array.from(bits, (b) => b >>> 16);
        const expected = new Float32Array(bits.map((b) => (b & 0xffff0000) >>> 0).buffer);
        expect(Array.from(safetensorsFloats("BF16", bytesOf(upper)))).toEqual(Array.from(expected));
      }),
    );
  });

  it("of float16 are exact, wherever they lie", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 1 }), fc.nat(3), (numbers, odd) => {
        const half = new Float16Array(numbers);
        const shifted = new Uint8Array(half.byteLength + odd);
        shifted.set(bytesOf(half), odd);
        const read = safetensorsFloats("F16", shifted.subarray(odd));
        expect(Array.from(read)).toEqual(Array.from(half));
      }),
    );
  });
});

it("tensors beyond 4 GiB of a file are read", async () => {
  const path = join(folder, "large.safetensors");
  const large = 5 * 2 ** 30;
  const values = Float32Array.of(1.5, -2, 1e-30);
  const text = encoded({
    large: { dtype: "U8", shape: [large], data_offsets: [0, large] },
    last: { dtype: "F32", shape: [3], data_offsets: [large, large + 12] },
  });
  const start = new Uint8Array(8);
  new DataView(start.buffer).setBigUint64(0, BigInt(text.length), true);
  const file = await open(path, "w");
  // A hole, which takes no room on the disk.
  await file.write(start, 0, 8, 0);
  await file.write(text, 0, text.length, 8);
  await file.write(new Uint8Array(values.buffer), 0, 12, 8 + text.length + large);
  await file.close();
  const read = await openSafetensors(path);
  expect(Array.from(await read.floats("last"))).toEqual(Array.from(values));
  await read.close();
});
