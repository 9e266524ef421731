import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import { shardSize } from "../../src/encoder/images-per-call.ts";
import { byOperator, profileStep } from "../../src/jobs/profile.ts";

const context = { signal: new AbortController().signal, progress: () => {}, note: () => {} };
const params = {
  encoder: "efficientnet-lite0",
  size: 32,
  threads: 1,
  images: 4,
  classes: 2,
  steps: 2,
};

describe("the profile of a step", () => {
  it("accounts for the whole step, and for every convolution of the encoder", async () => {
    const profile = await profileStep({ ...params, memoryBytes: 2 ** 30 }, context);
    // At 32 px a call of 16 images is as fast as any.
    const batch = shardSize(4, 16, availableParallelism());
    expect(profile).toMatchObject({ images: 4, classes: 2, batch, activations: "save", steps: 2 });
    const total = profile.stages.reduce((sum, { ms }) => sum + ms, 0);
    expect(total).toBeGreaterThan(0.999 * profile.stepMs);
    for (const { ms } of profile.stages) expect(ms).toBeGreaterThanOrEqual(0);
    const kernels = profile.nodes.reduce((sum, { ms }) => sum + ms, 0);
    expect(kernels).toBeGreaterThan(0);
    expect(profile.ops.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(kernels, 9);
    // EfficientNet-Lite0 has 49 convolutions, each of which is a node of the forward.
    expect(profile.ops.find(({ op }) => op === "Conv")).toMatchObject({ forward: 49 });
    const sorted = profile.nodes.map(({ ms }) => ms);
    expect(sorted).toEqual([...sorted].sort((a, b) => b - a));
  });

  it("counts what the pullback repeats where memory is short", async () => {
    const profile = await profileStep({ ...params, memoryBytes: 1 }, context);
    expect(profile).toMatchObject({ batch: 1, activations: "recompute" });
    const conv = profile.ops.find(({ op }) => op === "Conv")!;
    expect(conv.pullback).toBeGreaterThan(1.5 * conv.forward);
    // Four chunks of one image, each as it is and in a draw: each node runs eight times per step.
    for (const { runs } of profile.nodes) expect(runs).toBe(8);
  });
});

describe("byOperator", () => {
  it("adds up the nodes of an operator over both passes, dearest first", () => {
    const node = (pass: "forward" | "pullback", op: string, ms: number) => ({
      ...{ pass, op, ms, node: `${op}${ms}`, dims: [1], runs: 1, onProcessor: true },
    });
    expect(
      byOperator([node("forward", "Relu", 1), node("forward", "Conv", 2), node("pullback", "Conv", 3)]),
    ).toEqual([
      { op: "Conv", forward: 1, pullback: 1, ms: 5 },
      { op: "Relu", forward: 1, pullback: 0, ms: 1 },
    ]);
  });
});
