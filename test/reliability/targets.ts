import { dataTargets } from "./data-targets.ts";
import { hubTarget } from "./hub-target.ts";
import { modelTargets } from "./model-targets.ts";
import { ownTargets } from "./own-targets.ts";
import type { Target } from "./target.ts";

/** Every parser of what comes from outside, by the name that `npm run fuzz` knows it by. */
export const targets: Readonly<Record<string, Target>> = {
  ...modelTargets,
  ...dataTargets,
  ...ownTargets,
  hub: hubTarget,
};
