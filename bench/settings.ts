import type { DistillConfig } from "../src/distill/config.ts";

/** A change of the default recipe. */
export interface Setting {
  readonly name: string;
  readonly config: Partial<DistillConfig>;
}

/** One setting at a time changed from the default: what bench/recipe.ts and bench/results.ts measure. */
export const settings: readonly Setting[] = [
  { name: "default", config: {} },
  { name: "200 steps", config: { steps: 200 } },
  { name: "MSE outer loss", config: { method: "clp-mse" } },
  { name: "LGM without augmentation", config: { method: "lgm" } },
  { name: "SFM", config: { method: "sfm" } },
  { name: "normalize l2", config: { normalize: ["l2"] } },
  { name: "normalize standardize-l2", config: { normalize: ["standardize-l2"] } },
  { name: "normalize none, τ 1", config: { normalize: ["none"], tau: 1 } },
  { name: "cosine anchors", config: { anchors: "cosine" } },
  { name: "λ 3, τ 0.02", config: { lambda: 3, tau: 0.02 } },
  { name: "λ 0.1, τ 0.1", config: { lambda: 0.1, tau: 0.1 } },
  { name: "λ 0.01, τ 0.1", config: { lambda: 0.01, tau: 0.1 } },
  { name: "τ 0.05", config: { tau: 0.05 } },
  { name: "τ 0.1", config: { tau: 0.1 } },
  { name: "constant learning rate", config: { schedule: "constant" } },
  { name: "a level every 20 steps", config: { levelEvery: 20 } },
  { name: "one augmented draw", config: { augment: 1 } },
  { name: "from real images", config: { init: "real" } },
  { name: "pixels from real images", config: { init: "real", parametrization: "pixels" } },
  { name: "learned labels", config: { learnLabels: true } },
];
