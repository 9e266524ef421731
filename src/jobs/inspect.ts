import type { PartialContext } from "../context.ts";
import { loadEncoderModel } from "../encoder/load/load.ts";
import { featureCandidates, selectFeature } from "../encoder/select-feature.ts";
import { operatorOf, type TracedGraph } from "../onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../onnx-vjp/graph/live.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { hasRule, nodesWithoutRule } from "../onnx-vjp/vjp/derive.ts";
import type { InspectParams } from "./params.ts";

/** What `clp-dd inspect` tells of a model. */
export interface Inspection {
  readonly id: string;
  readonly sha256: string;
  readonly opset: number;
  readonly parameters: number;
  readonly inputs: readonly { name: string; dtype: string; dims: readonly (number | string)[] }[];
  /** Tensors that can serve as features, latest first; the chosen one is marked. */
  readonly candidates: readonly {
    name: string;
    dims: readonly number[];
    chosen: boolean;
    /** Nodes on its path that cannot be differentiated. */
    missing: readonly string[];
  }[];
  /** Operators after lowering: how often each occurs, and whether it has a pullback rule. */
  readonly ops: readonly { op: string; count: number; rule: boolean }[];
  readonly reason: string;
}

/** Reads a model and finds out what it offers as an encoder. */
export async function inspectModel(params: InspectParams, context?: PartialContext): Promise<Inspection> {
  const { encoder, size, revision, dtype, hub } = params;
  const model = await loadEncoderModel(encoder, {
    ...(size ? { size } : {}),
    ...(revision ? { revision } : {}),
    ...(dtype ? { dtype } : {}),
    ...(hub ? { hub } : {}),
    ...(context ? { context } : {}),
  });
  const runtime = nodeRuntime();
  const choice = selectFeature(model.graph, model.feature);
  const names = [...new Set([choice.value, ...featureCandidates(model.graph)])];
  const outputs = names.map((name) => ({ name, dtype: "float32" as const, dims: [] }));
  const graph = withoutDeadNodes({ ...model.graph, outputs });
  const [input] = model.graph.inputs;
  const [height, width] = model.preprocessing.crop;
  const batch = typeof input?.dims[0] === "number" ? input.dims[0] : 1;
  const traced = await prepareGraph(runtime, graph, { [input!.name]: [batch, 3, height, width] });
  const isPerImage = (name: string): boolean => {
    const dims = traced.types.get(name)?.dims;
    return name === choice.value || dims === undefined || dims[0] === batch;
  };
  const counts = new Map<string, { count: number; rule: boolean }>();
  for (const node of traced.nodes) {
    const known = counts.get(operatorOf(node)) ?? { count: 0, rule: hasRule(node) };
    counts.set(operatorOf(node), { ...known, count: known.count + 1 });
  }
  let parameters = 0;
  for (const { dims, dtype } of model.graph.constants.values()) {
    if (dtype !== "int64") parameters += dims.reduce((product, d) => product * d, 1);
  }
  return {
    id: model.provenance.id,
    sha256: model.provenance.sha256,
    opset: model.graph.opset,
    parameters,
    inputs: model.graph.inputs,
    // Rows of all images together are no feature of one.
    candidates: names.filter(isPerImage).map((name) => ({
      name,
      dims: traced.types.get(name)?.dims ?? [],
      chosen: name === choice.value,
      missing: missingOn(traced, input!.name, name),
    })),
    ops: [...counts].map(([op, known]) => ({ op, ...known })).sort((a, b) => b.count - a.count),
    reason: choice.reason,
  };
}

function missingOn(traced: TracedGraph, input: string, name: string): string[] {
  if (!traced.types.has(name)) return ["(folded away)"];
  return [...new Set(nodesWithoutRule(traced, [input], [name]).map(operatorOf))];
}
