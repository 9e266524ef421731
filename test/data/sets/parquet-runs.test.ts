import { readFile } from "node:fs/promises";
import { type Compressors, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { describe, expect, it } from "vitest";
import { checkedPages, requireSaneFooter } from "../../../src/data/sets/parquet-limits.ts";
import { type RunColumn, requireSaneLevels, requireSaneRuns } from "../../../src/data/sets/parquet-runs.ts";
import { unpackSnappy } from "../../../src/data/sets/snappy.ts";

const column: RunColumn = { maxRepetition: 0, maxDefinition: 1, isBoolean: false };
/** A run that repeats 1 some 2³⁰ times: a number of five bytes, and the value. */
const endless = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x08, 1);
/** Ten times 1: 10 · 2 = 20. */
const ten = Uint8Array.of(20, 1);
const prefixed = (bytes: Uint8Array) => Uint8Array.of(bytes.length, 0, 0, 0, ...bytes);

describe("runs of a parquet page", () => {
  it("that repeat as often as the page has values are read, in levels and in indices of a dictionary", () => {
    requireSaneLevels(ten, { values: 10, encoding: 0, levelBytes: [0, 2] }, column);
    requireSaneRuns(prefixed(ten), { values: 10, encoding: 0 }, column);
    requireSaneRuns(Uint8Array.of(...prefixed(ten), 1, ...ten), { values: 10, encoding: 8 }, column);
    // Two groups of eight values of one bit, for ten values: the last is filled up.
    requireSaneRuns(prefixed(Uint8Array.of(5, 255, 3)), { values: 10, encoding: 0 }, column);
  });

  it("that repeat a thousand million times are refused before the format's reader writes them", () => {
    const message = /a run of a page repeats 1073741824 times, and the page has 10 values/;
    const levels = () => requireSaneLevels(endless, { values: 10, encoding: 0, levelBytes: [0, 6] }, column);
    expect(levels).toThrow(message);
    const first = () => requireSaneRuns(prefixed(endless), { values: 10, encoding: 0 }, column);
    expect(first).toThrow(message);
    const indices = Uint8Array.of(...prefixed(ten), 1, ...endless);
    expect(() => requireSaneRuns(indices, { values: 10, encoding: 8 }, column)).toThrow(message);
    const booleans = { maxRepetition: 0, maxDefinition: 0, isBoolean: true };
    expect(() => requireSaneRuns(prefixed(endless), { values: 10, encoding: 3 }, booleans)).toThrow(message);
  });
});

describe("pages packed with Snappy", () => {
  // Of 5 bytes: the literal "ab", and a copy of three from two before.
  const packed = Uint8Array.of(5, 1 << 2, 97, 98, (2 << 2) | 2, 2, 0);

  it("are unpacked", () => {
    expect(new TextDecoder().decode(unpackSnappy(packed, 5))).toBe("ababa");
  });

  it("that copy more than they say, up to four thousand million bytes, are refused before they are unpacked", () => {
    const message = /unpacks to more than the 5 bytes that it says, or is cut short/;
    expect(() => unpackSnappy(Uint8Array.of(5, 63 << 2, 255, 255, 255, 255, 97), 5)).toThrow(message);
    expect(() => unpackSnappy(Uint8Array.of(5, 1 << 2, 97, 98, (63 << 2) | 2, 2, 0), 5)).toThrow(message);
  });
});

it("a piece of a file that cannot be read, and that nobody waits for, ends no process", async () => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown) => unhandled.push(error);
  process.on("unhandledRejection", listen);
  try {
    const file = { byteLength: 9, slice: () => Promise.reject(new Error("it ends at byte 5")) };
    const { file: checked } = checkedPages(
      file,
      { schema: [], row_groups: [] } as unknown as FileMetaData,
      {},
    );
    void checked.slice(0, 9);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await expect(checked.slice(0, 9)).rejects.toThrow("it ends at byte 5");
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", listen);
  }
});

it("a column that the schema lacks is refused before any other is read", () => {
  const column = {
    path_in_schema: ["image", "pat"],
    num_values: 1n,
    data_page_offset: 4n,
    total_compressed_size: 1n,
  };
  const schema = [
    { name: "root", num_children: 1 },
    { name: "label", type: "INT64" },
  ];
  const metadata = { schema, num_rows: 1n, row_groups: [{ num_rows: 1n, columns: [{ meta_data: column }] }] };
  const footer = metadata as unknown as FileMetaData;
  expect(() => requireSaneFooter(footer, 100)).toThrow(/a column "image\.pat", which its schema lacks/);
});

it.each(["snappy", "gzip", "zstd", "pages-v2"])(
  "a page is unpacked once, to be looked at and read: %s",
  async (name) => {
    const { buffer, byteOffset, length } = await readFile(
      new URL(`../../fixtures/formats/${name}.parquet`, import.meta.url),
    );
    const file = {
      byteLength: length,
      slice: (start: number, end = length) =>
        buffer.slice(byteOffset + start, byteOffset + end) as ArrayBuffer,
    };
    const metadata = await parquetMetadataAsync(file);
    let unpacked = 0;
    const counted: Compressors = Object.fromEntries(
      Object.entries(compressors).map(([codec, unpack]) => [
        codec,
        (input: Uint8Array, size: number) => {
          unpacked++;
          return unpack!(input, size);
        },
      ]),
    );
    const plain = await parquetReadObjects({ file, metadata, compressors: counted, utf8: false });
    const needed = unpacked;
    expect(needed).toBeGreaterThan(1);
    unpacked = 0;
    const checked = checkedPages(file, metadata, counted);
    const rows = await parquetReadObjects({ ...checked, metadata, utf8: false });
    expect(rows).toEqual(plain);
    expect(unpacked).toBe(needed);
  },
);
