import type { RuleTable } from "./rule.ts";

export const reductionRules: RuleTable = {};
