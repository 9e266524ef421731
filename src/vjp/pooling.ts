import type { RuleTable } from "./rule.ts";

export const poolingRules: RuleTable = {};
