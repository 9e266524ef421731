import type { BatchSampler } from "../features/batch-sampler.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
import type { Matrix } from "../probe/matrix.ts";
import type { FeatureRows } from "../probe/rows.ts";
import type { DistillConfig } from "../recipe/config.ts";
import type { AdamBlock } from "../synthetic/adam.ts";
import type { RealBatches } from "./real-batches.ts";
import type { StepImages, SyntheticImages } from "./synthetic-images.ts";
import type { TargetBasis } from "./target-features.ts";

/** What a distillation changes beside the images' parameters: with those, what a checkpoint holds. */
export interface DistillState {
  /** Steps done. */
  step: number;
  /** Levels of the images that are in use. */
  levels: number;
  /** Adam steps since the last level was added. */
  adamSteps: number;
  sampler: BatchSampler;
  /** Labels of the synthetic images, m × C, and log τ, with Adam's moments where they are learned. */
  readonly labels: AdamBlock;
  readonly logTau: AdamBlock;
  /** What the images' features are drawn towards, m × d of all encoders together, once chosen (`targets` of the configuration). */
  targets?: Float32Array | undefined;
}

/** What is known of one step. */
export interface StepReport {
  readonly step: number;
  readonly loss: number;
  /** Share of the real batch that the step's probe classified correctly, where the objective has a probe. */
  readonly batchAccuracy: number | undefined;
  readonly levels: number;
  readonly tau: number;
}

/** What steps need of one encoder. */
export interface EncoderParts {
  /** Cached features of the real images: the same images in the same order under every encoder. */
  readonly real: FeatureRows;
  /** Their rows after each map. */
  readonly batches: RealBatches;
  /** One fitted map for each of the configuration's normalizations. */
  readonly maps: readonly FeatureMap[];
  /** Class means of the real features after each map, for objectives that need them. */
  readonly classMeans?: readonly Matrix[];
  /** What target features are chosen with; absent where none are. */
  readonly targets?: TargetParts | undefined;
}

/** What the loop works with; everything but `state` stays as it is. */
export interface DistillParts<Images extends StepImages = SyntheticImages> {
  readonly config: DistillConfig;
  readonly classes: number;
  /** In the order in which an image's row of features has theirs. */
  readonly encoders: readonly EncoderParts[];
  readonly images: Images;
  readonly gemm: Gemm;
}

/** How target features are chosen. */
export interface TargetParts extends TargetBasis {
  /** A choice is many evaluations of the objective: it reports how far it is, and can be stopped. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}
