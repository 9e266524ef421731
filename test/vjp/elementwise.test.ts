import fc from "fast-check";
import { describe, it } from "vitest";
import { array64, checkRule, randomArray, randomNumbers } from "../support/check-rule.ts";

describe("elementwise rules", () => {
  it("Mul sums its cotangents over broadcast axes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        async (n, d, seed) => {
          const random = randomNumbers(seed);
          await checkRule({
            op: "Mul",
            inputs: [
              { ...randomArray([n, d], random), variable: true },
              { ...randomArray([d], random), variable: true },
            ],
            reference: ([x, y]) =>
              array64(
                [n, d],
                x!.data.map((v, i) => v * y!.data[i % d]!),
              ),
            seed,
          });
        },
      ),
      { numRuns: 20 },
    );
  });
});
