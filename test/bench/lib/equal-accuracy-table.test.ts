import { describe, expect, it } from "vitest";
import {
  atEqualAccuracy,
  judges,
  type Snapshot,
  type Training,
} from "../../../bench/lib/equal-accuracy-table.ts";

/** The same accuracy by every judge. */
const at = (seconds: number, accuracy: number): Snapshot => ({
  seconds,
  steps: 10 * seconds,
  accuracies: Object.fromEntries(judges.map((judge) => [judge, accuracy])) as Snapshot["accuracies"],
});
const training = (name: string, ...snapshots: Snapshot[]): Training => ({ name, snapshots });

describe("atEqualAccuracy", () => {
  const lgm = [
    training("slow", at(10, 0.2), at(20, 0.3)),
    training("fast", at(10, 0.4), at(20, 0.5), at(30, 0.5), at(40, 0.45)),
  ];

  it("holds the other side to LGM's best, at the first time it was that good", () => {
    const [row] = atEqualAccuracy(lgm, []);
    expect(row).toMatchObject({ lgm: "fast", target: 0.5, lgmSeconds: 20 });
  });

  it("takes the first images that are at least as good", () => {
    const [row] = atEqualAccuracy(lgm, [training("ours", at(1, 0.4), at(2, 0.5), at(3, 0.6))]);
    expect(row!.own).toEqual([{ name: "ours", seconds: 2, steps: 20, ratio: 10, last: 0.6, lastSeconds: 3 }]);
  });

  it("has no time and no ratio where LGM stays better", () => {
    const [row] = atEqualAccuracy(lgm, [training("ours", at(1, 0.4), at(3, 0.49))]);
    expect(row!.own).toEqual([{ name: "ours", last: 0.49, lastSeconds: 3 }]);
  });
});
