import * as z from "zod";
import { normalizations } from "../probe/feature-map.ts";
import { augmentationNames } from "../synthetic/augment.ts";

/** Headings under which settings are shown, in this order. */
export const settingGroups = ["Objective", "Images", "Optimization", "Augmentation"] as const;

declare module "zod" {
  interface GlobalMeta {
    /** Heading under which the setting is shown. */
    group?: (typeof settingGroups)[number];
    /** The setting's option on the command line, where that is not its name and type. */
    option?: string;
    /** The value of an option that is given without one. */
    preset?: string;
    /** Text of the option that turns the setting off. */
    off?: string;
  }
}

const positive = z.number().positive();

/** Feature maps g, applied to synthetic and real features alike (method: the normalization matters most). */
export const normalizationName = z.enum(normalizations);

export const Method = z.enum(["clp", "clp-mse", "lgm", "sfm"]);
export type Method = z.infer<typeof Method>;

/**
 * Every hyper-parameter of a distillation, as it is recorded in the manifest: its type, default, and what the command
 * line says about it. The defaults are those of the preset `exact`, and what a manifest means that does not have a setting
 * yet; the recipe of a run comes from its preset (presets.ts), by default `clp`. All are this project's own choice: the
 * authors of CLP-DD published none.
 */
export const DistillConfig = z.strictObject({
  method: Method.default("clp").meta({ group: "Objective", description: "objective" }),
  ipc: z.int().positive().default(1).meta({ group: "Images", description: "synthetic images per class" }),
  steps: z.int().positive().default(500).meta({ group: "Optimization", description: "optimization steps" }),
  /** For the pyramid's levels, or for the pixels. */
  learningRate: positive
    .default(0.1)
    .meta({ group: "Optimization", option: "--lr <x>", description: "Adam's learning rate" }),
  schedule: z.enum(["constant", "cosine"]).default("cosine").meta({
    group: "Optimization",
    description: "learning rate over the steps: constant, or down to zero along half a cosine",
  }),
  lambda: positive.default(1).meta({ group: "Objective", description: "ridge strength relative to tr(K)/m" }),
  tau: positive.default(0.07).meta({ group: "Objective", description: "temperature of the outer softmax" }),
  /** The class anchors are the columns of W. */
  anchors: z
    .enum(["raw", "cosine"])
    .default("cosine")
    .meta({ group: "Objective", description: "columns of W as they are, or L2-normalized" }),
  normalize: z
    .array(normalizationName)
    .min(1)
    .default(["l2", "center-l2"])
    .meta({
      group: "Objective",
      option: "--normalize <map[,map]>",
      description:
        `feature maps: ${normalizations.join(", ")}; the losses of several are summed, the first is that of the ` +
        "closed-form probe",
    }),
  parametrization: z
    .enum(["pyramid", "pixels"])
    .default("pyramid")
    .meta({ group: "Images", description: "what is optimized" }),
  init: z.enum(["noise", "real", "centroid"]).default("noise").meta({
    group: "Images",
    description:
      "start from noise, from random real images, or from those nearest to their class mean; traces of real images stay",
  }),
  /** It removes the noise that levels start with, and what nothing holds. */
  weightDecay: z.number().nonnegative().default(0).meta({
    group: "Optimization",
    description:
      "Adam's weight decay, decoupled: share of a level that each step takes away, times the learning rate",
  }),
  levelEvery: z
    .int()
    .positive()
    .default(8)
    .meta({ group: "Images", description: "steps between two levels of the pyramid" }),
  /** Chosen once the whole pyramid has had as many steps (target-features.ts). */
  targets: z
    .int()
    .nonnegative()
    .default(50)
    .meta({
      group: "Optimization",
      description:
        "steps between two choices of target features, towards which the images' features are also pulled; 0: none, " +
        "as with --augment",
    }),
  targetWeight: positive.default(4).meta({
    group: "Optimization",
    description: "weight of the mean squared distance from the targets, relative to their mean square",
  }),
  augment: z.int().nonnegative().default(0).meta({
    group: "Augmentation",
    option: "--augment [n]",
    preset: "1",
    description:
      "augmented draws of each image per step (1 where no number is given); 0: the images as they are",
  }),
  clean: z.boolean().default(false).meta({
    group: "Augmentation",
    description: "also use the images as they are, beside the augmented draws",
    off: "only the augmented draws",
  }),
  /** LGM's recipe where none is named (synthetic/augment.ts). */
  augmentation: z.enum(augmentationNames).optional().meta({
    group: "Augmentation",
    description:
      "flip, crop and noise as in LGM; flip and crop; or flip, crops of half the area and more, and weak noise",
  }),
  noise: z.number().nonnegative().optional().meta({
    group: "Augmentation",
    description: "standard deviation of the draws' noise, for pixels in [0, 1], in place of the recipe's",
  }),
  cropArea: positive.max(1).optional().meta({
    group: "Augmentation",
    description: "smallest share of the area that a draw's crop covers, in place of the recipe's",
  }),
  /** To half the size and back, of the whole image and without noise: with a crop on top, half size was borne less well. */
  lowPass: z.number().min(0).max(1).default(0).meta({
    group: "Augmentation",
    description: "share of the steps in which a draw is the whole image without its finest detail",
  }),
  /**
   * Where nothing is said, the run finds out from the real images (evaluate/mirror-test.ts) and records the answer; in a
   * manifest without it, draws were mirrored.
   */
  mirror: z.boolean().optional().meta({
    group: "Augmentation",
    description: "mirror draws at random (default: where mirrored real images keep their class)",
    off: "no mirrored draws: for letters, digits and maps",
  }),
  ridge: z.enum(["joint", "per-view"]).default("joint").meta({
    group: "Augmentation",
    description:
      "all views of the images in one ridge problem, or one problem per view with the losses averaged",
  }),
  batchSize: z.int().positive().default(512).meta({
    group: "Optimization",
    option: "--batch <n>",
    description: "real features per step; all of them where there are fewer",
  }),
  learnLabels: z
    .boolean()
    .default(false)
    .meta({ group: "Objective", description: "learn the synthetic labels too (not with sfm)" }),
  learnTemperature: z
    .boolean()
    .default(false)
    .meta({ group: "Objective", description: "learn tau too (with clp alone)" }),
  seed: z.int().default(0).meta({ group: "Optimization", description: "seed of everything random" }),
});
export type DistillConfig = z.infer<typeof DistillConfig>;
