import { describe, expect, it } from "vitest";
import { fittedExponent, inTurn, median, relativeError } from "../../../bench/lib/measure.ts";

describe("inTurn", () => {
  it("runs the sides alternately and leaves the warm-up out", async () => {
    const order: string[] = [];
    const side = (name: string, times: number[]) => async () => {
      order.push(name);
      return times.shift()!;
    };
    const sides = { a: side("a", [100, 1, 2]), b: side("b", [200, 3, 4]) };
    expect(await inTurn(sides, { least: 2, most: 2 })).toEqual({ a: [1, 2], b: [3, 4] });
    expect(order).toEqual(["a", "b", "a", "b", "a", "b"]);
  });
});

describe("the arithmetic of results", () => {
  it("takes the middle, or the mean of the two in the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it("finds the exponent of a power law", () => {
    expect(fittedExponent([1, 2, 4, 8].map((x) => ({ x, y: 3 * x ** 1.5 })))).toBeCloseTo(1.5, 12);
  });

  it("measures a difference relative to the second", () => {
    expect(relativeError([3, 4], [0, 4])).toBeCloseTo(0.75, 12);
    expect(() => relativeError([1], [1, 2])).toThrow("cannot be compared");
  });
});
