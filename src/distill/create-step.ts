import { objectives } from "../objective/objectives.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { chooseGemm, jsGemm } from "../probe/gemm.ts";
import { ortFeatureProduct } from "../probe/ort-feature-product.ts";
import { ortGemm } from "../probe/ort-gemm.ts";
import type { FeatureRows } from "../probe/rows.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { classMeans } from "../select/coresets.ts";
import { openRealBatches } from "./real-batches.ts";
import type { DistillParts, EncoderParts, TargetParts } from "./state.ts";
import type { SyntheticImages } from "./synthetic-images.ts";
import { targetBasis } from "./target-features.ts";

/** What a step is made of. */
export interface StepInputs {
  /**
   * Computes products, on the CPU. Runs that are to repeat bit by bit have one thread here: how ONNX Runtime cuts a product
   * up, and so its last bits, depends on their number.
   */
  readonly runtime: Runtime;
  readonly config: DistillConfig;
  readonly classes: number;
  /** Cached features of the real images under each encoder, in the same order. */
  readonly real: readonly FeatureRows[];
  readonly images: SyntheticImages;
  /** What hears of a choice of target features, and can stop it. */
  readonly choice?: Pick<TargetParts, "onProgress" | "signal">;
}

/**
 * Everything that steps need beside the images: feature maps, batches of real features and products.
 */
export async function createStep({
  runtime,
  config,
  classes,
  real,
  images,
  choice,
}: StepInputs): Promise<{ readonly parts: DistillParts; release(): Promise<void> }> {
  const product = ortFeatureProduct(runtime);
  const large = ortGemm(runtime);
  const encoders: EncoderParts[] = [];
  for (const rows of real) {
    const maps = await fitFeatureMaps(config.normalize, rows);
    encoders.push({
      real: rows,
      maps,
      batches: openRealBatches(rows, maps, product),
      ...(config.targets > 0
        ? { targets: { ...(await targetBasis(rows, classes, config.ipc)), ...choice } }
        : {}),
      ...(objectives[config.method].needs.classMeans
        ? { classMeans: await Promise.all(maps.map((map) => classMeans(rows, classes, map))) }
        : {}),
    });
  }
  const parts: DistillParts = { config, classes, encoders, images, gemm: chooseGemm(jsGemm, large) };
  return {
    parts,
    async release() {
      await product.release();
      await large.release();
      await images.release();
    },
  };
}
