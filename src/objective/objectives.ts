import { clp } from "./clp.ts";
import { clpMse } from "./clp-mse.ts";
import { lgm } from "./lgm.ts";
import type { Objective } from "./objective.ts";
import { sfm } from "./sfm.ts";

/** Every objective by the name that users choose it by. A new one is a file and a line here. */
export const objectives = {
  clp,
  "clp-mse": clpMse,
  lgm,
  sfm,
} as const satisfies Record<string, Objective>;

export type ObjectiveName = keyof typeof objectives;
