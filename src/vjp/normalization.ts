import type { RuleTable } from "./rule.ts";

export const normalizationRules: RuleTable = {};
