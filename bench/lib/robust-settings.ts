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

/** Short runs for what is chosen between, then long ones of what was chosen. */
export const robustSettings: readonly RobustSetting[] = [
  setting("exact", {}, "exact"),
  setting("no weight decay, no loss of detail, 200 steps", { steps: 200, weightDecay: 0, lowPass: 0 }),
  setting("weight decay 0.3, no loss of detail, 200 steps", { steps: 200, weightDecay: 0.3, lowPass: 0 }),
  setting("weight decay 1, no loss of detail, 200 steps", { steps: 200, weightDecay: 1, lowPass: 0 }),
  setting("weight decay 0.3, 200 steps", { steps: 200, weightDecay: 0.3 }),
  setting("weight decay 0.3, no loss of detail, two draws, 133 steps", {
    steps: 133,
    weightDecay: 0.3,
    lowPass: 0,
    augment: 2,
  }),
  setting("weight decay 0.3, no loss of detail", { weightDecay: 0.3, lowPass: 0 }),
  setting("the default"),
  setting("two draws, 333 steps", { augment: 2, steps: 333 }),
  setting("long", {}, "long"),
];
