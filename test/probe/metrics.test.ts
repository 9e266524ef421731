import { describe, expect, it } from "vitest";
import { MetricsAccumulator } from "../../src/probe/metrics.ts";
import { seededRandom } from "../../src/random.ts";

const classes = 8;
const every = Int32Array.from({ length: classes }, (_, c) => c);

function metricsOf(rows: readonly (readonly number[])[], labels: ArrayLike<number>) {
  const metrics = new MetricsAccumulator(classes);
  metrics.add(rows.flat(), labels);
  return metrics.result();
}

describe("MetricsAccumulator", () => {
  it("counts a class among the five best by the number of classes ahead of it", () => {
    // Class c has score c: 7 is the best, 3 the fifth.
    const { top1, top5 } = metricsOf(
      [...every].map(() => [...every]),
      every,
    );
    expect(top1).toBe(1 / 8);
    expect(top5).toBe(5 / 8);
  });

  it("puts the first of equal scores ahead, in top-1 and top-5 alike", () => {
    const { top1, top5 } = metricsOf(
      [...every].map(() => Array(classes).fill(0.5)),
      every,
    );
    expect(top1).toBe(1 / 8);
    expect(top5).toBe(5 / 8);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "is never right about a class whose score is %d, in any of its figures",
    (score) => {
      const alike = metricsOf(
        [...every].map(() => Array(classes).fill(score)),
        every,
      );
      expect(alike).toMatchObject({ top1: 0, top5: 0, perClass: Array(classes).fill(0) });
      const own = metricsOf(
        [...every].map((truth) => [...every].map((c) => (c === truth ? score : -c))),
        every,
      );
      expect(own).toMatchObject({ top1: 0, top5: 0, perClass: Array(classes).fill(0) });
    },
  );

  it("is not misled by another class's score that is not a number", () => {
    const row = [Number.NaN, 1, 5, 2, Number.POSITIVE_INFINITY, 0, 3, Number.NaN];
    expect(metricsOf([row], [2])).toMatchObject({ top1: 1, top5: 1 });
  });

  it("never has a top-5 below its top-1", () => {
    const random = seededRandom(3, "scores");
    const values = [0, 1, 1, 2, Number.NaN, Number.POSITIVE_INFINITY];
    for (let i = 0; i < 500; i++) {
      const row = Array.from({ length: classes }, () => values[random.below(values.length)]);
      const { top1, top5, confusion } = metricsOf([row], [i % classes]);
      expect(top5).toBeGreaterThanOrEqual(top1);
      expect(confusion[i % classes][i % classes]).toBe(top1);
    }
  });
});
