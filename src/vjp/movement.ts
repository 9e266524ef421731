import type { RuleTable } from "./rule.ts";

export const movementRules: RuleTable = {};
