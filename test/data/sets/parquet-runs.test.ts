import { describe, expect, it } from "vitest";
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
