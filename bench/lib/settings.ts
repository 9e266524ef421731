import type { DistillConfig } from "../../src/recipe/config.ts";

/** A change of the default recipe. */
export interface Setting {
  readonly name: string;
  readonly config: Partial<DistillConfig>;
}

/** One setting at a time changed from a recipe (`exact`, or the default): what bench/pages/recipe.ts and bench/pages/results.ts measure. */
export const settings: readonly Setting[] = [
  { name: "default", config: {} },
  { name: "200 steps", config: { steps: 200 } },
  { name: "1,000 steps", config: { steps: 1000 } },
  { name: "MSE outer loss", config: { method: "clp-mse", normalize: ["center-l2"], targets: 0 } },
  { name: "LGM without augmentation", config: { method: "lgm", normalize: ["center-l2"], targets: 0 } },
  { name: "SFM", config: { method: "sfm", normalize: ["center-l2"], targets: 0 } },
  { name: "normalize l2", config: { normalize: ["l2"] } },
  { name: "normalize center-l2", config: { normalize: ["center-l2"] } },
  {
    name: "normalize center-l2, raw anchors, τ 0.025",
    config: { normalize: ["center-l2"], anchors: "raw", tau: 0.025 },
  },
  { name: "normalize standardize-l2", config: { normalize: ["standardize-l2"] } },
  {
    name: "normalize l2 + center-l2 + standardize-l2",
    config: { normalize: ["l2", "center-l2", "standardize-l2"] },
  },
  { name: "normalize none, τ 1", config: { normalize: ["none"], tau: 1 } },
  { name: "raw anchors, τ 0.025", config: { anchors: "raw", tau: 0.025 } },
  { name: "λ 0.1", config: { lambda: 0.1 } },
  { name: "λ 0.3", config: { lambda: 0.3 } },
  { name: "λ 3", config: { lambda: 3 } },
  { name: "λ 10", config: { lambda: 10 } },
  { name: "τ 0.05", config: { tau: 0.05 } },
  { name: "τ 0.1", config: { tau: 0.1 } },
  { name: "constant learning rate", config: { schedule: "constant" } },
  { name: "a level every 20 steps", config: { levelEvery: 20 } },
  { name: "one augmented draw", config: { augment: 1 } },
  { name: "no target features", config: { targets: 0 } },
  { name: "target weight 12", config: { targetWeight: 12 } },
  { name: "from the images nearest to the class means", config: { init: "centroid" } },
  { name: "from real images", config: { init: "real" } },
  { name: "pixels from real images", config: { init: "real", parametrization: "pixels" } },
  { name: "learned labels", config: { learnLabels: true } },
];
