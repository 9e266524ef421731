import { messageOf, type NodeName, NoRuleError } from "./errors.ts";
import { nameOfNode, operatorOf } from "./graph/ir.ts";
import type { Runtime } from "./graph/runtime.ts";
import type { ModelFunction } from "./model-function.ts";
import { lowerings } from "./prepare/lower/index.ts";
import { quantizedLowerings } from "./prepare/lower/quantized.ts";
import { writtenOut } from "./prepare/prepare.ts";
import { planReached, prepareFunction, type Shapes } from "./shapes.ts";
import { nodesWithoutRule } from "./vjp/derive.ts";
import { rules } from "./vjp/rules.ts";

/** How an operator is differentiated: by its own rule, or after it is rewritten into operators that have rules. */
export type RuleKind = "rule" | "rewritten";

/** Every operator that can be differentiated, by name; those of other domains as `domain.op`. */
export function differentiableOperators(): ReadonlyMap<string, RuleKind> {
  const rewritten = Object.keys(lowerings).filter((op) => !Object.hasOwn(quantizedLowerings, op));
  const found = new Map<string, RuleKind>([
    ...[...rewritten, ...writtenOut].map((op) => [op, "rewritten"] as const),
    ...Object.keys(rules).map((op) => [op, "rule"] as const),
  ]);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether an operator ("Conv", "com.microsoft.Gelu") can be differentiated. A rule may still refuse a rare form of it. */
export function hasRule(op: string): boolean {
  return differentiableOperators().has(op);
}

/** What can be differentiated of a function, and what is in the way. */
export interface Coverage {
  readonly differentiable: boolean;
  /** The nodes between the inputs and the outputs that have no pullback rule, or not for their form. */
  readonly blocking: readonly NodeName[];
  /** Why the function cannot be differentiated. */
  readonly reason?: string;
  /** The operators of the function as it is differentiated: how often each occurs, and whether it has a rule. */
  readonly operators: readonly { readonly op: string; readonly count: number; readonly rule: boolean }[];
}

/** Finds out what can be differentiated of a function at some shapes. */
export async function coverageOf(runtime: Runtime, f: ModelFunction, shapes: Shapes): Promise<Coverage> {
  const graph = await prepareFunction(runtime, f, shapes);
  const counts = new Map<string, number>();
  for (const node of graph.nodes) counts.set(operatorOf(node), (counts.get(operatorOf(node)) ?? 0) + 1);
  const operators = [...counts]
    .map(([op, count]) => ({ op, count, rule: Object.hasOwn(rules, op) }))
    .sort((a, b) => b.count - a.count || (a.op < b.op ? -1 : 1));
  try {
    planReached(graph, f);
    return { differentiable: true, blocking: [], operators };
  } catch (error) {
    const missing = nodesWithoutRule(graph, f.wrt, f.of).map(nameOfNode);
    const blocking = missing.length > 0 ? missing : error instanceof NoRuleError ? error.nodes : [];
    return { differentiable: false, blocking, reason: messageOf(error), operators };
  }
}
