import { NoRuleError, UnreachedInputError } from "../errors.ts";
import { GraphBuilder } from "../graph/builder.ts";
import {
  describeNode,
  type Graph,
  type Node,
  nameOfNode,
  operatorOf,
  type TracedGraph,
} from "../graph/ir.ts";
import type { RuleContext } from "./rule.ts";
import { rules } from "./rules.ts";

/** A traced graph extended by its pullback. */
export interface Derivative {
  /** The forward nodes, followed by the pullback's. */
  readonly graph: Graph;
  /** How many of the graph's nodes are forward ones. */
  readonly forwardNodes: number;
  /** Names of the cotangent inputs, one for each differentiated output, in order. */
  readonly cotangents: readonly string[];
  /** Names of the gradients with respect to each of `wrt`, in order. */
  readonly gradients: readonly string[];
}

/** The nodes on the differentiated path that have no rule. */
export function nodesWithoutRule(graph: TracedGraph, wrt: readonly string[], of: readonly string[]): Node[] {
  const active = activeValues(graph, wrt, of);
  return graph.nodes.filter((node) => node.outputs.some((o) => active.has(o)) && !hasRule(node));
}

/** Whether `node` can be differentiated. */
export function hasRule(node: Node): boolean {
  return Object.hasOwn(rules, operatorOf(node));
}

/**
 * The reverse sweep: appends to a copy of `graph` the nodes that compute, from cotangents of the values `of`,
 * the gradients of Σ ⟨cotangent, value⟩ with respect to the graph inputs `wrt`. Weights are constants: no
 * gradient is formed for them. The graph's outputs are left to the caller.
 *
 * @throws NoRuleError naming every node on the path whose op has no rule
 * @throws UnreachedInputError naming the inputs of `wrt` that no cotangent reaches
 */
export function derive(graph: TracedGraph, wrt: readonly string[], of: readonly string[]): Derivative {
  const missing = nodesWithoutRule(graph, wrt, of);
  if (missing.length > 0) {
    throw new NoRuleError(`No pullback rule for ${missing.map(describeNode).join(", ")}.`, {
      nodes: missing.map(nameOfNode),
    });
  }
  const active = activeValues(graph, wrt, of);
  const b = new GraphBuilder(
    {
      ...graph,
      inputs: [...graph.inputs],
      outputs: [...graph.outputs],
      nodes: [...graph.nodes],
      constants: new Map(graph.constants),
    },
    "vjp/",
  );
  const cotangentOf = new Map<string, string>();
  const accumulate = (value: string, cotangent: string): void => {
    const sofar = cotangentOf.get(value);
    cotangentOf.set(value, sofar === undefined ? cotangent : b.op("Add", [sofar, cotangent]));
  };
  const typeOf = (value: string) => {
    const type = graph.types.get(value);
    if (type === undefined) throw new Error(`the value ${value} was not traced`);
    return type;
  };

  const producers = new Map<string, Node>();
  let seen = 0;
  const producer = (value: string) => {
    for (; seen < b.graph.nodes.length; seen++) {
      const node = b.graph.nodes[seen];
      for (const output of node.outputs) producers.set(output, node);
    }
    return producers.get(value);
  };

  const cotangents = of.map((value) => {
    const name = b.input(`cotangent/${value}`, typeOf(value).dims, typeOf(value).dtype);
    accumulate(value, name);
    return name;
  });
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((o) => active.has(o))) continue;
    const outputs = node.outputs.map((o) => cotangentOf.get(o));
    if (outputs.every((o) => o === undefined)) continue;
    const needs = node.inputs.map((input) => input !== "" && active.has(input));
    const context: RuleContext = {
      node,
      b,
      type: typeOf,
      inputDims: (k) => typeOf(node.inputs[k]).dims,
      outputDims: (k) => typeOf(node.outputs[k]).dims,
      constant: (value) => graph.constants.get(value),
      producer,
      needs: (k) => needs[k] === true,
    };
    const gradients = rules[operatorOf(node)](context, outputs);
    if (gradients.length !== node.inputs.length) {
      throw new Error(
        `the rule of ${describeNode(node)} gave ${gradients.length} gradients for ${node.inputs.length} inputs`,
      );
    }
    gradients.forEach((gradient, k) => {
      if (gradient !== null && needs[k]) accumulate(node.inputs[k], gradient);
    });
  }
  const unreached = wrt.filter((value) => !cotangentOf.has(value));
  if (unreached.length > 0) {
    const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
    throw new UnreachedInputError(
      `${quoted(of)} does not depend on the input ${quoted(unreached)} through differentiable operators.`,
      { inputs: unreached },
    );
  }
  const gradients = wrt.map((value) => cotangentOf.get(value)!);
  return { graph: b.graph, forwardNodes: graph.nodes.length, cotangents, gradients };
}

/** Float values that depend on `wrt` and that `of` depends on: where cotangents flow. */
export function activeValues(graph: TracedGraph, wrt: readonly string[], of: readonly string[]): Set<string> {
  const reached = new Set(wrt);
  for (const node of graph.nodes) {
    if (!node.inputs.some((i) => reached.has(i))) continue;
    for (const output of node.outputs) {
      const dtype = graph.types.get(output)?.dtype;
      // What has no type may hold floats: a sequence.
      if (output !== "" && (dtype === undefined || dtype === "float32" || dtype === "float64"))
        reached.add(output);
    }
  }
  const wanted = new Set(of);
  const active = new Set(of.filter((value) => reached.has(value)));
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((o) => wanted.has(o))) continue;
    for (const input of node.inputs) {
      wanted.add(input);
      if (reached.has(input)) active.add(input);
    }
  }
  return active;
}
