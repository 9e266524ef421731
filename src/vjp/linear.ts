import type { RuleTable } from "./rule.ts";

export const linearRules: RuleTable = {};
