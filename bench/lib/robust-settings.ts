import type { DistillConfig } from "../../src/recipe/config.ts";
import type { PresetName } from "../../src/recipe/presets.ts";

/** A recipe that is measured for how its images bear handling. */
export interface RobustSetting {
  readonly name: string;
  readonly preset: PresetName;
  readonly config: Partial<DistillConfig>;
}

const setting = (
  name: string,
  config: Partial<DistillConfig> = {},
  preset: PresetName = "clp",
): RobustSetting => ({ name, preset, config });

/** What the default was before: the losses of two maps summed, anchors of one length. */
const twoMaps: Partial<DistillConfig> = { normalize: ["l2", "center-l2"], anchors: "cosine", tau: 0.07 };

/** Short runs for what is chosen between, then long ones of what was chosen. */
export const robustSettings: readonly RobustSetting[] = [
  setting("exact", {}, "exact"),
  ...[0, 0.3, 1].map((weightDecay) =>
    setting(`two maps, weight decay ${weightDecay}, no loss of detail, 200 steps`, {
      ...twoMaps,
      steps: 200,
      weightDecay,
      lowPass: 0,
    }),
  ),
  setting("two maps, weight decay 0.3, no loss of detail, two draws, 133 steps", {
    ...twoMaps,
    steps: 133,
    weightDecay: 0.3,
    lowPass: 0,
    augment: 2,
  }),
  setting("two maps, weight decay 0.3, no loss of detail", { ...twoMaps, weightDecay: 0.3, lowPass: 0 }),
  setting("two maps, 200 steps", { ...twoMaps, steps: 200 }),
  setting("one length, τ 0.05, 200 steps", { anchors: "cosine", tau: 0.05, steps: 200 }),
  ...[0.025, 0.04, 0.055].map((tau) => setting(`τ ${tau}, 200 steps`, { tau, steps: 200 })),
  setting("the default"),
  setting("τ 0.07, for heads and other encoders", { tau: 0.07 }),
  setting("two draws, 333 steps", { augment: 2, steps: 333 }),
  setting("long", {}, "long"),
];
