import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { presetNames, presets, withPreset } from "../../src/recipe/presets.ts";

describe("presets", () => {
  it.each(presetNames)("%s is a valid configuration with a source", (name) => {
    expect(DistillConfig.parse(withPreset(name, {}))).toMatchObject(presets[name].config);
    expect(presets[name].source).toMatch(/arXiv \d{4}\.\d{5}|docs/);
  });

  // arXiv 2511.16674: Adam 2e-3, 5,000 steps, 10 augmentations a step (3 on ImageNet-1K), a level every 200 steps.
  it("lgm-paper is the published run", () => {
    const published = {
      method: "lgm",
      learningRate: 0.002,
      steps: 5000,
      levelEvery: 200,
      normalize: ["none"],
    };
    expect(DistillConfig.parse(withPreset("lgm-paper", {}))).toMatchObject({ ...published, augment: 10 });
    expect(DistillConfig.parse(withPreset("lgm-paper-imagenet", {}))).toMatchObject({
      ...published,
      augment: 3,
    });
  });

  it("gives way to explicit settings, and leaves the rest", () => {
    expect(withPreset("lgm-paper", { steps: 7, seed: 3 })).toEqual({
      ...presets["lgm-paper"].config,
      steps: 7,
      seed: 3,
    });
    expect(withPreset(undefined, { steps: 7 })).toEqual({ ...presets.clp.config, steps: 7 });
  });

  it("without a name takes that of the method, unless its maps are given", () => {
    expect(withPreset(undefined, { method: "lgm" }).normalize).toEqual(["center-l2"]);
    expect(withPreset(undefined, { method: "lgm", normalize: ["none"] }).normalize).toEqual(["none"]);
  });

  it("chooses no target features from augmented draws unless asked to", () => {
    expect(withPreset(undefined, {}).targets).toBe(0);
    expect(withPreset(undefined, { targets: 20 }).targets).toBe(20);
    expect(withPreset("exact", { augment: 1 }).targets).toBe(0);
    expect(withPreset("exact", { augment: 1, targets: 20 }).targets).toBe(20);
    expect(DistillConfig.parse(withPreset("exact", {})).targets).toBeGreaterThan(0);
  });

  it("has no noise in draws that are added to closed forms on images as they are, unless asked to", () => {
    expect(withPreset("exact", { augment: 1 }).augmentation).toBe("geometric");
    expect(withPreset("exact", { augment: 1, augmentation: "lgm" }).augmentation).toBe("lgm");
    expect(withPreset("lgm-paper", {}).augmentation).toBe("lgm");
    expect(withPreset("exact", {}).augmentation).toBeUndefined();
  });

  it.each(["clp", "clp-mse", "lgm", "sfm", "long"] as const)(
    "%s sees images as they are and in a moderate draw, each view with its own ridge",
    (name) => {
      expect(withPreset(name, {})).toMatchObject({ clean: true, augment: 1, ridge: "per-view" });
      expect(withPreset(name, {}).augmentation).toBe("moderate");
    },
  );

  it("exact and the published recipes are what they were before views, in one ridge", () => {
    for (const name of ["exact", "lgm-paper", "lgm-paper-imagenet", "sfm-paper"] as const)
      expect(DistillConfig.parse(withPreset(name, {}))).toMatchObject({
        clean: false,
        ridge: "joint",
        lowPass: 0,
        weightDecay: 0,
      });
  });

  it.each(["lgm-papers", "toString", ""])("refuses %j, naming those there are", (name) => {
    expect(() => withPreset(name, {})).toThrow(UsageError);
    expect(() => withPreset(name, {})).toThrow(/lgm-paper-imagenet/);
  });
});
