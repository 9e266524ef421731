import { ModelError } from "../errors.ts";
import type { Graph, Node } from "../onnx-vjp/graph/ir.ts";

/** Output names that exporters give to features, best first. */
const featureNames = ["features", "image_embeds", "embeddings", "pooler_output", "last_hidden_state"];

/** The choice of a feature tensor, with the reason that is shown to the user. */
export interface FeatureChoice {
  readonly value: string;
  readonly reason: string;
}

/**
 * The feature tensor of a graph: the one that is asked for, else the obvious one.
 *
 * @param asked a tensor's name given by the user, or by the description that a model comes with; must exist
 * @throws ModelError naming the nearest candidates when `asked` does not exist
 */
export function selectFeature(graph: Graph, asked?: string): FeatureChoice {
  const producers = producersOf(graph);
  const obvious = obviousFeature(graph, producers);
  if (asked === undefined) {
    if (obvious === undefined) throw new ModelError("The model has no output.");
    return obvious;
  }
  // A model's own description mostly names the obvious one, which nobody had to ask for.
  if (asked === obvious?.value) return obvious;
  if (producers.has(asked)) return { value: asked, reason: "as asked" };
  const candidates = featureCandidates(graph);
  throw new ModelError(
    `The model has no tensor "${asked}". Candidates: ${candidates.slice(0, 8).join(", ")} ` +
      "(`clp-dd inspect` lists them with their shapes).",
  );
}

/**
 * An output that is named like a feature, or what goes into the last linear layer of a classifier, or the first
 * output; undefined where there is none.
 */
function obviousFeature(graph: Graph, producers: ReadonlyMap<string, Node>): FeatureChoice | undefined {
  for (const name of featureNames) {
    if (graph.outputs.some((o) => o.name === name))
      return { value: name, reason: `the output named ${name}` };
  }
  const output = graph.outputs[0];
  if (output === undefined) return undefined;
  const classifier = classifierOf(graph, output.name, producers);
  if (classifier) return { value: classifier, reason: "what goes into the last linear layer" };
  return { value: output.name, reason: `the output "${output.name}"` };
}

/** Tensors that can serve as features: the outputs, and the inputs of linear layers near the end, latest first. */
export function featureCandidates(graph: Graph): string[] {
  const found = new Set(graph.outputs.map((o) => o.name));
  const producers = producersOf(graph);
  for (const node of [...graph.nodes].reverse()) {
    const input = node.inputs[0];
    if (isLinear(node, graph) && input !== undefined && producers.has(input)) found.add(input);
    if (node.op === "GlobalAveragePool" || node.op === "LayerNormalization") found.add(node.outputs[0]!);
    if (found.size >= 24) break;
  }
  return [...found];
}

/** The input of the classification layer that makes `output`, seen through softmax and bias. */
function classifierOf(
  graph: Graph,
  output: string,
  producers: ReadonlyMap<string, Node>,
): string | undefined {
  let node = producers.get(output);
  while (node && ["Softmax", "LogSoftmax", "Sigmoid", "Add", "Identity"].includes(node.op)) {
    const next: string | undefined = node.inputs.find((i) => producers.has(i));
    node = next === undefined ? undefined : producers.get(next);
  }
  return node && isLinear(node, graph) && producers.has(node.inputs[0]!) ? node.inputs[0] : undefined;
}

function isLinear(node: Node, graph: Graph): boolean {
  return (node.op === "Gemm" || node.op === "MatMul") && graph.constants.has(node.inputs[1] ?? "");
}

function producersOf(graph: Graph): Map<string, Node> {
  const producers = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) producers.set(output, node);
  return producers;
}
