import { numbersOf } from "../graph/constant.ts";
import {
  type Constant,
  type Graph,
  identity,
  type Node,
  standardNode,
  type TensorType,
  type TracedGraph,
} from "../graph/ir.ts";
import { type InlinedBody, inlineBody } from "./inline-body.ts";

/**
 * Puts the branch that is taken in the place of every If whose condition is known (exporters write squeeze()
 * and shape checks as If). Returns the graph itself where there is none.
 *
 * @param constants what is known about values beyond the graph's own constants: those of a traced copy
 */
export function inlineBranches(graph: Graph, constants: ReadonlyMap<string, Constant>): Graph {
  const nodes: Node[] = [];
  const own = new Map(graph.constants);
  let changed = false;
  for (const node of graph.nodes) {
    const condition = isIf(node) ? constants.get(node.inputs[0]) : undefined;
    const taken = condition && (numbersOf(condition)[0] === 0 ? "else_branch" : "then_branch");
    const body = taken && inlined(node, taken, `${node.outputs[0]}`);
    if (body === undefined) {
      nodes.push(node);
      continue;
    }
    changed = true;
    for (const [name, constant] of body.constants) own.set(name, constant);
    nodes.push(...body.nodes);
    for (const [i, output] of node.outputs.entries()) {
      if (output !== "") nodes.push(identity(body.outputs[i], output));
    }
  }
  return changed ? { ...graph, nodes, constants: own } : graph;
}

const isIf = (node: Node): boolean => node.op === "If" && node.domain === "";

/** A branch of `node`, where it is read. */
function inlined(node: Node, branch: string, prefix: string): InlinedBody | undefined {
  const attribute = node.attributes[branch];
  return attribute?.kind === "graph" ? inlineBody(attribute.value, prefix) : undefined;
}

/** Both branches of an If whose condition is computed from the image. */
export interface MergedBranches {
  readonly graph: Graph;
  /** Pairs of values that a Where chooses between, with the If that it is in the place of. */
  readonly choices: readonly { readonly node: string; readonly values: readonly [string, string] }[];
}

/**
 * Computes both branches of every If whose condition is computed, and chooses between their results: each has a
 * pullback then. Right where both results have one shape, which is known once the graph is traced again (`agree`).
 *
 * @param except names of outputs of Ifs that stay as they are
 */
export function mergeBranches(graph: TracedGraph, except: ReadonlySet<string>): MergedBranches | undefined {
  const nodes: Node[] = [];
  const constants = new Map(graph.constants);
  const choices: { node: string; values: [string, string] }[] = [];
  for (const node of graph.nodes) {
    const own = node.outputs[0];
    const isTensor = node.outputs.every((output) => output === "" || graph.types.has(output));
    const [yes, no] =
      isIf(node) && isTensor && !except.has(own)
        ? [inlined(node, "then_branch", `${own}/then`), inlined(node, "else_branch", `${own}/else`)]
        : [];
    if (yes === undefined || no === undefined) {
      nodes.push(node);
      continue;
    }
    for (const body of [yes, no]) {
      for (const [name, constant] of body.constants) constants.set(name, constant);
      nodes.push(...body.nodes);
    }
    const condition = scalarCondition(node, graph, nodes, constants);
    for (const [i, output] of node.outputs.entries()) {
      if (output === "") continue;
      const values: [string, string] = [yes.outputs[i], no.outputs[i]];
      choices.push({ node: own, values });
      const inputs = [condition, ...values];
      nodes.push(standardNode("Where", inputs, output));
    }
  }
  return choices.length === 0 ? undefined : { graph: { ...graph, nodes, constants }, choices };
}

/** An If's condition without dimensions, so that it broadcasts to any shape. */
function scalarCondition(
  node: Node,
  graph: TracedGraph,
  nodes: Node[],
  constants: Map<string, Constant>,
): string {
  const [condition] = node.inputs as readonly [string];
  if (graph.types.get(condition)!.dims.length === 0) return condition;
  const [name, shape] = [`${node.outputs[0]}/condition`, `${node.outputs[0]}/scalar`];
  constants.set(shape, { dtype: "int64", dims: [0], bytes: new Uint8Array() });
  nodes.push(standardNode("Reshape", [condition, shape], name));
  return name;
}

/** Ifs whose branches give results of different types: between those no Where can choose. */
export function disagreeing(
  choices: MergedBranches["choices"],
  types: ReadonlyMap<string, TensorType>,
): string[] {
  const shown = (value: string) => {
    const type = types.get(value);
    return type && `${type.dtype}[${type.dims}]`;
  };
  return choices.filter(({ values: [a, b] }) => shown(a) !== shown(b)).map(({ node }) => node);
}
