import { UsageError } from "../errors.ts";
import type { DistillConfig } from "./config.ts";

/** A recipe by name: what it changes of the default configuration, and where that comes from. */
export interface Preset {
  readonly config: Partial<DistillConfig>;
  /** One line: the publication, or that the choice is this project's own. */
  readonly source: string;
  /** What the source does not say, or what is done otherwise here; the rest is the project's default. */
  readonly unknown?: string;
}

/** What LGM's run used on ImageNet-100, in this project's terms. */
const lgmRecipe: Partial<DistillConfig> = {
  method: "lgm",
  steps: 5000,
  learningRate: 2e-3,
  schedule: "constant",
  levelEvery: 200,
  augment: 10,
  augmentation: "lgm",
  normalize: ["none"],
  parametrization: "pyramid",
  init: "noise",
  targets: 0,
  // As published, whatever the images are of.
  mirror: true,
};

/** The map on which every objective's images bear handling best (docs/recipe.md, docs/robust.md). */
const oneMap: DistillConfig["normalize"] = ["center-l2"];

/**
 * What makes images bear handling: they are seen as they are and in a draw of crop, mirror, noise and now and then loss of
 * detail, each view solves its own ridge problem, and weight decay takes the noise that the pyramid starts with.
 */
const robust = {
  normalize: oneMap,
  augment: 1,
  clean: true,
  augmentation: "moderate",
  lowPass: 0.3,
  weightDecay: 1,
  ridge: "per-view",
  targets: 0,
} as const satisfies Partial<DistillConfig>;

/**
 * The cross-entropy of robust images: anchors as the probe has them, and a temperature chosen on held-out icons. With
 * anchors of one length the images have less, as they are and after every edit (docs/robust.md).
 */
const robustClp = {
  method: "clp",
  anchors: "raw",
  tau: 0.04,
  ...robust,
} as const satisfies Partial<DistillConfig>;

/**
 * Every recipe that `preset` knows. The published ones are as published where the source says so; the
 * others are the project's default schedule with another objective. Explicit options win over a preset.
 */
export const presets = {
  clp: {
    config: robustClp,
    source:
      "this project's default recipe (docs/recipe.md); the authors of CLP-DD (arXiv 2605.07194) published none",
  },
  long: {
    config: { ...robustClp, steps: 1500 },
    source: "the default recipe with three times the steps (docs/recipe.md)",
  },
  exact: {
    config: { method: "clp" },
    source:
      "this project's recipe for who keeps the exact pixels (docs/recipe.md): images as they are alone, drawn towards " +
      "target features; they bear next to no handling",
  },
  "clp-mse": {
    config: { method: "clp-mse", ...robust },
    source:
      "the default recipe with the squared outer loss, the ablation of CLP-DD (arXiv 2605.07194), on the feature map " +
      "that is best for it here",
  },
  "lgm-paper": {
    config: lgmRecipe,
    source:
      "LGM (arXiv 2511.16674), its run on ImageNet-100: Adam 2e-3, 5,000 steps, 10 augmentations per step",
    unknown:
      "the size of the real batch and a decay of the learning rate are not known (512 and none here); its pyramid " +
      "goes to 256 px and is resized to 224 px, here it ends at the encoder's input; λ of the closed-form probe, " +
      "which LGM has not, is the project's default",
  },
  "lgm-paper-imagenet": {
    config: { ...lgmRecipe, augment: 3 },
    source: "LGM (arXiv 2511.16674), its run on ImageNet-1K: as lgm-paper with 3 augmentations per step",
    unknown: "as for lgm-paper",
  },
  "sfm-paper": {
    config: { ...lgmRecipe, method: "sfm" },
    source:
      "SFM (arXiv 2602.05391): the loss, 1 − cos between the flows of the real and synthetic class means",
    unknown:
      "its optimizer, number of steps, augmentations and rendering are not known here: those of lgm-paper are used, " +
      "whose accuracy SFM claims to reach",
  },
  lgm: {
    config: { method: "lgm", ...robust },
    source:
      "the default recipe with LGM's objective (arXiv 2511.16674) on the feature map that is best for it here",
  },
  sfm: {
    config: { method: "sfm", ...robust },
    source:
      "the default recipe with SFM's objective (arXiv 2602.05391) on the feature map that is best for it here",
  },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as readonly PresetName[];

/**
 * A preset's configuration with explicit settings in place of its own. Without a name, that of the method which the
 * settings choose, so that each method runs on the feature map that suits it. Where a preset without draws is given some,
 * there are no target features unless they are asked for, and the closed-form methods have no noise in the draws. Throws
 * UsageError naming the presets there are.
 */
export function withPreset(
  name: string | undefined,
  explicit: Partial<DistillConfig>,
): Partial<DistillConfig> {
  const chosen = name ?? explicit.method ?? "clp";
  if (!Object.hasOwn(presets, chosen)) {
    throw new UsageError(`There is no preset "${chosen}". Presets: ${presetNames.join(", ")}.`);
  }
  const config: Partial<DistillConfig> = { ...presets[chosen as PresetName].config, ...explicit };
  if (!config.augment) return config;
  // Targets chosen from augmented draws lead to worse features, and noise suits gradient matching alone (docs/recipe.md).
  const closedForm = config.method === "clp" || config.method === "clp-mse";
  return {
    ...config,
    targets: config.targets ?? 0,
    ...(closedForm ? { augmentation: config.augmentation ?? "geometric" } : {}),
  };
}
