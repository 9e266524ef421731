import * as z from "zod";
import { normalizations } from "../probe/feature-map.ts";
import { augmentationNames } from "../synthetic/augment.ts";

const positive = z.number().positive();

/** Feature maps g, applied to synthetic and real features alike (method: the normalization matters most). */
export const normalizationName = z.enum(normalizations);

export const Method = z.enum(["clp", "clp-mse", "lgm", "sfm"]);
export type Method = z.infer<typeof Method>;

/**
 * Every hyper-parameter of a distillation, as it is recorded in the manifest. The defaults are those of the preset
 * `exact`, and what a manifest means that does not have a setting yet; the recipe of a run comes from its preset
 * (presets.ts), by default `clp`. All are this project's own choice: the authors of CLP-DD published none.
 */
export const DistillConfig = z.strictObject({
  method: Method.default("clp"),
  /** Synthetic images per class. */
  ipc: z.int().positive().default(1),
  steps: z.int().positive().default(500),
  /** Adam's learning rate for the pyramid's levels (or the pixels). */
  learningRate: positive.default(0.1),
  /** The learning rate over the steps: constant, or down to zero along half a cosine. */
  schedule: z.enum(["constant", "cosine"]).default("cosine"),
  /** Ridge strength relative to tr(K)/m. */
  lambda: positive.default(1),
  /** Temperature of the outer softmax. */
  tau: positive.default(0.07),
  /** Use the class anchors (columns of W) as they are, or L2-normalized. */
  anchors: z.enum(["raw", "cosine"]).default("cosine"),
  /** Feature maps whose losses are summed; the first is the closed-form probe's. */
  normalize: z.array(normalizationName).min(1).default(["l2", "center-l2"]),
  parametrization: z.enum(["pyramid", "pixels"]).default("pyramid"),
  /** Noise, random real images, or those nearest to their class's mean feature. */
  init: z.enum(["noise", "real", "centroid"]).default("noise"),
  /**
   * Adam's weight decay, decoupled (AdamW): each step takes learning rate × this share of a parameter away. It removes the
   * noise that levels start with, and what nothing holds.
   */
  weightDecay: z.number().nonnegative().default(0),
  /** Steps between two levels of the pyramid. */
  levelEvery: z.int().positive().default(8),
  /**
   * Steps between two choices of target features, towards which the images' features are drawn beside the loss
   * (target-features.ts), once the whole pyramid has had as many; 0: none.
   */
  targets: z.int().nonnegative().default(50),
  /** Weight of the mean squared distance from the targets, relative to their mean square. */
  targetWeight: positive.default(4),
  /** Augmented draws of each synthetic image per step; 0 uses the images as they are. */
  augment: z.int().nonnegative().default(0),
  /** Whether the images as they are count as one more view, beside the draws. */
  clean: z.boolean().default(false),
  /** What a draw is (synthetic/augment.ts); LGM's flip, crop and noise where nothing is said. */
  augmentation: z.enum(augmentationNames).optional(),
  /** Standard deviation around 0 of the noise that draws add to pixels in [0, 1], in place of the augmentation's own. */
  noise: z.number().nonnegative().optional(),
  /** Least share of the image's area that a draw's crop covers, in place of the augmentation's own. */
  cropArea: positive.max(1).optional(),
  /** Share of the steps in which a draw loses its finest detail: to half the size and back. */
  lowPass: z.number().min(0).max(1).default(0),
  /**
   * Whether mirrored images keep their class, so that draws are mirrored at random; letters do not. Where nothing is said,
   * the run asks the real images (evaluate/mirror.ts) and records the answer; in a manifest without it, they did.
   */
  mirror: z.boolean().optional(),
  /** Whether the views of all images are rows of one ridge problem, or each view solves its own and losses are averaged. */
  ridge: z.enum(["joint", "per-view"]).default("joint"),
  /** Real features in one step's batch; all of them where there are fewer. */
  batchSize: z.int().positive().default(512),
  learnLabels: z.boolean().default(false),
  learnTemperature: z.boolean().default(false),
  seed: z.int().default(0),
});
export type DistillConfig = z.infer<typeof DistillConfig>;
