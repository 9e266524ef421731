import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ByteArray, type Pickled, readPickle } from "../../src/files/pickle.ts";

const fixture = (protocol: number) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/formats/protocol${protocol}.pickle`, import.meta.url)));

// Made by tools/make_format_fixtures.py.
describe("a pickle", () => {
  it.each([0, 1, 2, 3, 4, 5])("of protocol %i is read as data", (protocol) => {
    const value = readPickle(fixture(protocol)) as ReadonlyMap<string, Pickled>;
    const array = value.get("data");
    expect(array).toBeInstanceOf(ByteArray);
    expect((array as ByteArray).shape).toEqual([4, 6]);
    expect([...(array as ByteArray).bytes]).toEqual(Array.from({ length: 24 }, (_, i) => i));
    expect(value.get("labels")).toEqual([0, 1, 2, -300]);
    expect(value.get("names")).toEqual(["a", "ü"]);
    expect(value.get("deep")).toEqual(new Map([["x", [true, null, 1.5]]]));
  });

  it("that names what could run is refused by that name", () => {
    const system = Buffer.from("cos\nsystem\n(S'echo'\ntR.");
    expect(() => readPickle(system)).toThrow(/refers to os\.system, which could run code/);
    expect(() => readPickle(Buffer.from("cbuiltins\neval\n."))).toThrow(/builtins\.eval/);
  });

  it("cut short or changed anywhere throws, or is data", () => {
    const whole = fixture(4);
    for (let i = 0; i < whole.length; i++) {
      expect(() => readPickle(whole.subarray(0, i))).toThrow(Error);
      for (const value of [0, 0x28, 0x52, 0x8e, 0xff]) {
        const changed = whole.slice();
        changed[i] = value;
        try {
          readPickle(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(TypeError);
        }
      }
    }
  });

  it("whose lists hold each other many times is refused", () => {
    // A list of ten times the list before, thirty deep.
    const level = (memo: number) => `(${`g${memo}\n`.repeat(10)}lp${memo + 1}\n0`;
    const laughs = `(lp0\n0${Array.from({ length: 30 }, (_, i) => level(i)).join("")}g30\n.`;
    expect(() => readPickle(Buffer.from(laughs))).toThrow(/more than 5000000 values/);
  });
});
