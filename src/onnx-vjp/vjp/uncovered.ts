import { NoRuleError } from "../errors.ts";
import { numbersOf } from "../graph/constant.ts";
import { describeNode, type Node, nameOfNode } from "../graph/ir.ts";
import type { RuleContext } from "./rule.ts";

/** The error for a form of an operator that its rule does not cover; `what` continues "The node … ". */
export function uncovered(node: Node, what: string): NoRuleError {
  return new NoRuleError(`The node ${describeNode(node)} ${what}, which has no pullback rule.`, {
    nodes: [nameOfNode(node)],
  });
}

/** The integers of constant input `i` (axes, pads, starts, …), or undefined where the input is absent. */
export function integersOf(c: RuleContext, i: number): number[] | undefined {
  const input = c.node.inputs[i] ?? "";
  if (input === "") return undefined;
  const constant = c.constant(input);
  if (constant === undefined)
    throw uncovered(c.node, `computes its input ${i} ("${input}") from the model's inputs`);
  return Array.from(numbersOf(constant));
}
