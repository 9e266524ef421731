import type { RuleTable } from "./rule.ts";

export const attentionRules: RuleTable = {};
