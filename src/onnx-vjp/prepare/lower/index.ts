import { NoRuleError } from "../../errors.ts";
import { GraphBuilder, targetOpset } from "../../graph/builder.ts";
import {
  describeNode,
  type Graph,
  type Node,
  nameOfNode,
  operatorOf,
  type TracedGraph,
} from "../../graph/ir.ts";
import { compositeLowerings } from "./composite.ts";
import { contribLowerings } from "./contrib.ts";
import { convolutionLowerings } from "./convolution.ts";
import { fourierLowerings } from "./fourier.ts";
import { legacyLowerings } from "./legacy.ts";
import type { Lowering, LoweringContext, LoweringTable } from "./lowering.ts";
import { opsetLowerings } from "./opset.ts";
import { placeLowerings } from "./places.ts";
import { quantizedLowerings } from "./quantized.ts";
import { recurrentLowerings } from "./recurrent.ts";
import { samplingLowerings } from "./sampling.ts";

/** Every lowering, by op (of other domains: `domain.op`). */
export const lowerings: LoweringTable = {
  ...opsetLowerings,
  ...compositeLowerings,
  ...contribLowerings,
  ...convolutionLowerings,
  ...samplingLowerings,
  ...fourierLowerings,
  ...placeLowerings,
  ...recurrentLowerings,
  ...quantizedLowerings,
};

/**
 * Operators that came, or whose form changed by more than its types, after the target: by the operator set in which they
 * did. What no lowering covers cannot stay.
 */
const newer: Readonly<Record<string, number>> = {
  AffineGrid: 20,
  Attention: 23,
  DFT: 20,
  DeformConv: 19,
  Gelu: 20,
  GridSample: 20,
  ImageDecoder: 20,
  RMSNormalization: 23,
  RegexFullMatch: 20,
  RotaryEmbedding: 23,
  StringConcat: 20,
  StringSplit: 20,
  Swish: 24,
  TensorScatter: 24,
};

/**
 * Rewrites a graph into the forms of `targetOpset` that the pullback rules know. Every value that a node of
 * the graph made keeps its name; values in between get names that begin with `prefix`. Returns the graph itself
 * where there is nothing to do. Types are those of the graph as it came: new values have none yet.
 */
export function lower(graph: TracedGraph, prefix: string): Graph {
  const nodes: Node[] = [];
  const b = new GraphBuilder({ ...graph, nodes, constants: new Map(graph.constants) }, prefix);
  let changed = graph.opset !== targetOpset;
  for (const node of graph.nodes) {
    const key = operatorOf(node);
    const context: LoweringContext = {
      node,
      b,
      opset: graph.opset,
      type(value) {
        const type = graph.types.get(value);
        if (type === undefined) throw new Error(`the value ${value} was not traced`);
        return type;
      },
      constant: (value) => graph.constants.get(value),
    };
    const before = nodes.length;
    const legacy = graph.opset < 11 ? entry(legacyLowerings, key)?.(context) : undefined;
    const values = legacy ?? entry(lowerings, key)?.(context);
    if (values === undefined) {
      if (Object.hasOwn(newer, key) && graph.opset >= newer[key]) {
        throw new NoRuleError(
          `The node ${describeNode(node)} of operator set ${graph.opset} has no form in ${targetOpset}, and no pullback ` +
            "rule.",
          { nodes: [nameOfNode(node)] },
        );
      }
      nodes.length = before;
      nodes.push(node);
      continue;
    }
    changed = true;
    const made = nodes.splice(before);
    nodes.push(...withOutputs(made, values, node.outputs));
  }
  if (!changed) return graph;
  return { ...graph, opset: targetOpset, nodes, constants: b.graph.constants };
}

const entry = (table: LoweringTable, key: string): Lowering | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

/** Renames the replacing values to the replaced ones; a value made elsewhere is passed on by an Identity. */
function withOutputs(made: readonly Node[], values: readonly string[], outputs: readonly string[]): Node[] {
  const own = new Set(made.flatMap((node) => node.outputs));
  const renamed = new Map<string, string>();
  const passed: Node[] = [];
  for (const [i, output] of outputs.entries()) {
    const value = values[i] ?? "";
    if (output === "" || value === "") continue;
    if (own.has(value) && !renamed.has(value)) renamed.set(value, output);
    else {
      const input = renamed.get(value) ?? value;
      passed.push({
        op: "Identity",
        domain: "",
        name: output,
        inputs: [input],
        outputs: [output],
        attributes: {},
      });
    }
  }
  const name = (value: string) => renamed.get(value) ?? value;
  return [
    ...made.map((node) => ({ ...node, inputs: node.inputs.map(name), outputs: node.outputs.map(name) })),
    ...passed,
  ];
}
