import { describe, expect, it } from "vitest";
import { parseShard } from "../../src/cli/shard.ts";
import { UsageError } from "../../src/errors.ts";

describe("the part of a sharded job", () => {
  it("is what i/n says, whatever the scheduler says", () => {
    expect(parseShard("3/8", { SLURM_ARRAY_TASK_ID: "5" })).toEqual({ index: 3, count: 8 });
  });

  it("is Kubernetes' completion index", () => {
    expect(parseShard("4", { JOB_COMPLETION_INDEX: "0" })).toEqual({ index: 0, count: 4 });
    expect(parseShard("4", { JOB_COMPLETION_INDEX: "3" })).toEqual({ index: 3, count: 4 });
  });

  it("is Slurm's task counted from the array's first, with its step", () => {
    const array = (id: number, min: number, count: number, step = 1) => ({
      SLURM_ARRAY_TASK_ID: `${id}`,
      SLURM_ARRAY_TASK_MIN: `${min}`,
      SLURM_ARRAY_TASK_COUNT: `${count}`,
      SLURM_ARRAY_TASK_STEP: `${step}`,
    });
    // --array=1-8, --array=0-7, --array=10-16:2
    expect(parseShard("auto", array(8, 1, 8))).toEqual({ index: 7, count: 8 });
    expect(parseShard("8", array(1, 1, 8))).toEqual({ index: 0, count: 8 });
    expect(parseShard("8", array(7, 0, 8))).toEqual({ index: 7, count: 8 });
    expect(parseShard("auto", array(14, 10, 4, 2))).toEqual({ index: 2, count: 4 });
    // --array=3,5 repeats two of 0-7.
    expect(parseShard("8", array(5, 3, 2))).toEqual({ index: 5, count: 8 });
  });

  it.each([
    ["8/8", {}],
    ["x", {}],
    ["1/0", {}],
    ["8", {}],
    ["auto", { JOB_COMPLETION_INDEX: "1" }],
    ["4", { JOB_COMPLETION_INDEX: "4" }],
    ["4", { JOB_COMPLETION_INDEX: "one" }],
    ["auto", { SLURM_ARRAY_TASK_ID: "9", SLURM_ARRAY_TASK_MIN: "1", SLURM_ARRAY_TASK_COUNT: "3" }],
  ])("is refused as %s with %j", (value, environment) => {
    expect(() => parseShard(value, environment)).toThrow(UsageError);
  });
});
