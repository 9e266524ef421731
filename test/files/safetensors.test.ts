import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DataError } from "../../src/errors.ts";
import { openSafetensors, writeSafetensors } from "../../src/files/safetensors.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-safetensors-"));
  path = join(folder, "x.safetensors");
});
afterEach(() => rm(folder, { recursive: true }));

/** The format's bytes, as its specification puts them together. */
function fileOf(header: unknown, data: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}
const floats = Float32Array.of(1.5, -0, 3, 2 ** -149);
const bytes = new Uint8Array(floats.buffer);

test("tensors that come in pieces lie behind each other, aligned, with their hash", async () => {
  const pieces = async function* () {
    yield floats.subarray(0, 1);
    yield floats.subarray(1);
  };
  const sha256 = await writeSafetensors(
    path,
    [
      { name: "a", dtype: "F32", shape: [2, 2], data: pieces },
      { name: "b", dtype: "F64", shape: [1], data: Float64Array.of(Math.PI) },
    ],
    { note: "ü" },
  );
  const file = await readFile(path);
  const length = Number(file.readBigUInt64LE(0));
  expect((8 + length) % 8).toBe(0);
  expect(JSON.parse(file.subarray(8, 8 + length).toString())).toEqual({
    __metadata__: { note: "ü" },
    a: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] },
    b: { dtype: "F64", shape: [1], data_offsets: [16, 24] },
  });
  expect(file.subarray(8 + length, 24 + length)).toEqual(Buffer.from(bytes));
  expect(file.readDoubleLE(24 + length)).toBe(Math.PI);
  const { createHash } = await import("node:crypto");
  expect(sha256).toBe(createHash("sha256").update(file).digest("hex"));
});

test("a file put together by hand is read", async () => {
  await writeFile(path, fileOf({ a: { dtype: "F32", shape: [4], data_offsets: [0, 16] } }, bytes));
  const file = await openSafetensors(path);
  expect(await file.float32("a")).toEqual(floats);
  await expect(file.float64("a")).rejects.toThrow(/no F64 tensor "a"/);
  await file.close();
});

test("a tensor that has not the size of its shape is a defect of the caller", async () => {
  const tensor = { name: "a", dtype: "F32", shape: [5], data: floats } as const;
  await expect(writeSafetensors(path, [tensor])).rejects.toThrow(/a has 16 bytes, its shape says 20/);
});

test.each([
  ["an empty file", Buffer.alloc(0)],
  ["a header longer than the file", Buffer.from([255, 0, 0, 0, 0, 0, 0, 0, 123])],
  ["a header that is no JSON", Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 123, 34])],
  ["a header that is a list", fileOf([1], bytes)],
  ["an entry without a shape", fileOf({ a: { dtype: "F32", data_offsets: [0, 16] } }, bytes)],
  ["a negative offset", fileOf({ a: { dtype: "F32", shape: [4], data_offsets: [-16, 0] } }, bytes)],
  ["data beyond the end", fileOf({ a: { dtype: "F32", shape: [4], data_offsets: [4, 20] } }, bytes)],
  [
    "a size that is not its shape's",
    fileOf({ a: { dtype: "F32", shape: [3], data_offsets: [0, 16] } }, bytes),
  ],
  ["an unknown type", fileOf({ a: { dtype: "X9", shape: [4], data_offsets: [0, 16] } }, bytes)],
])("%s is refused as damaged", async (_, content) => {
  await writeFile(path, content);
  await expect(openSafetensors(path)).rejects.toThrow(DataError);
  await expect(openSafetensors(path)).rejects.toThrow(/x\.safetensors is damaged/);
});

test("a missing file is named", async () => {
  await expect(openSafetensors(path)).rejects.toThrow(/x\.safetensors cannot be read/);
});
