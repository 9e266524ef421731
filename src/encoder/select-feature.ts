import { ModelError } from "../errors.ts";
import type { Graph, Node } from "../onnx-vjp/graph/ir.ts";
import { producersOf } from "../onnx-vjp/graph/links.ts";
import { classifierOf } from "./classifier.ts";

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
 * @throws ModelError naming the nearest candidates when `asked` does not exist, or when heads that read different
 *   tensors make the scores
 */
export function selectFeature(graph: Graph, asked?: string): FeatureChoice {
  const producers = producersOf(graph.nodes);
  if (asked === undefined) return obviousFeature(graph);
  // A model's own description mostly names the obvious one, which nobody had to ask for.
  const obvious = named(graph) ?? single(graph);
  if (asked === obvious?.value) return obvious;
  if (producers.has(asked)) return { value: asked, reason: "as asked" };
  const candidates = featureCandidates(graph);
  throw new ModelError(
    `The model has no tensor "${asked}". Candidates: ${candidates.slice(0, 8).join(", ")} ` +
      "(`clp-dd inspect` lists them with their shapes).",
  );
}

/** An output that is named like a feature. */
function named(graph: Graph): FeatureChoice | undefined {
  const name = featureNames.find((known) => graph.outputs.some((o) => o.name === known));
  return name === undefined ? undefined : { value: name, reason: `the output named ${name}` };
}

/** Outputs of numbers; a classifier may give the name or number of the best class beside them. */
const numeric: ReadonlySet<string> = new Set(["float32", "float64", "float16", "bfloat16"]);

/** What goes into the classifier of the first output, else that output; undefined where several tensors go into it. */
function single(graph: Graph): FeatureChoice | undefined {
  const output = graph.outputs.find(({ dtype }) => numeric.has(dtype)) ?? graph.outputs[0];
  if (output === undefined) return undefined;
  const classifier = classifierOf(graph, output.name);
  if (classifier === undefined) return { value: output.name, reason: `the output "${output.name}"` };
  const [value, ...others] = classifier.inputs;
  if (others.length > 0) return undefined;
  const { heads } = classifier;
  const layer = heads === 1 ? "the last linear layer" : `the ${heads} linear layers that make the scores`;
  return { value: value!, reason: `what goes into ${layer}` };
}

function obviousFeature(graph: Graph): FeatureChoice {
  if (graph.outputs.length === 0) throw new ModelError("The model has no output.");
  const choice = named(graph) ?? single(graph);
  if (choice !== undefined) return choice;
  const output = graph.outputs.find(({ dtype }) => numeric.has(dtype)) ?? graph.outputs[0];
  const inputs = classifierOf(graph, output.name)!.inputs.map((input) => `"${input}"`);
  throw new ModelError(
    `The scores "${output.name}" are made by ${inputs.length} layers that read different tensors: ${inputs.join(", ")}. ` +
      "Say with `feature` which of them is the feature.",
  );
}

/** Tensors that can serve as features: the outputs, and the inputs of linear layers near the end, latest first. */
export function featureCandidates(graph: Graph): string[] {
  const found = new Set(graph.outputs.filter(({ dtype }) => numeric.has(dtype)).map((o) => o.name));
  const producers = producersOf(graph.nodes);
  const classified = graph.outputs.flatMap(({ name }) => classifierOf(graph, name)?.inputs ?? []);
  for (const input of classified) if (producers.has(input)) found.add(input);
  for (const node of [...graph.nodes].reverse()) {
    const input = node.inputs[0];
    if (isLinear(node, graph) && input !== undefined && producers.has(input)) found.add(input);
    if (node.op === "GlobalAveragePool" || node.op === "LayerNormalization") found.add(node.outputs[0]);
    if (found.size >= 24) break;
  }
  return [...found];
}

function isLinear(node: Node, graph: Graph): boolean {
  return (node.op === "Gemm" || node.op === "MatMul") && graph.constants.has(node.inputs[1] ?? "");
}
