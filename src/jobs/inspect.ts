import type { PartialContext } from "../context.ts";
import { createEncoder } from "../encoder/encoder.ts";
import type { EncoderModel } from "../encoder/encoder-model.ts";
import { cutToFeature, type ImageInput, imageDims, onlyTowards } from "../encoder/image-input.ts";
import { loadEncoderModel } from "../encoder/load/load.ts";
import { givenForm } from "../encoder/model-form.ts";
import { featureCandidates, selectFeature } from "../encoder/select-feature.ts";
import { ModelError } from "../errors.ts";
import { compileDerivative } from "../onnx-vjp/compile/differentiable.ts";
import { operatorOf, type TracedGraph } from "../onnx-vjp/graph/ir.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { derive, hasRule, nodesWithoutRule } from "../onnx-vjp/vjp/derive.ts";
import type { Inspection } from "./inspection.ts";
import type { InspectParams } from "./params.ts";

/**
 * Reads a model and finds out what it offers as an encoder. The chosen tensor is tried: what is reported as
 * differentiable was differentiated.
 */
export async function inspectModel(params: InspectParams, context?: PartialContext): Promise<Inspection> {
  const { encoder, size, revision, dtype, hub } = params;
  const model = await loadEncoderModel(encoder, {
    ...(size ? { size } : {}),
    ...(revision ? { revision } : {}),
    ...(dtype ? { dtype } : {}),
    ...(hub ? { hub } : {}),
    ...givenForm(params),
    ...(context ? { context } : {}),
  });
  return inspectEncoderModel(nodeRuntime({ memoryBytes: params.memoryBytes }), model);
}

/** `inspectModel` of a model that was read. */
export async function inspectEncoderModel(runtime: Runtime, model: EncoderModel): Promise<Inspection> {
  const choice = selectFeature(model.graph, model.feature);
  const { image } = cutToFeature(model, choice.value);
  // What needs another input is not an image's feature.
  const names = [...new Set([choice.value, ...featureCandidates(model.graph)])].filter((name) =>
    onlyTowards(model.graph, [name]).inputs.every((input) => input.name === image.name),
  );
  const traced = await tracedTowards(runtime, model, image, names, choice.value);
  const batch = image.batch ?? 1;
  const isPerImage = (name: string): boolean => {
    const dims = traced.types.get(name)?.dims;
    return name === choice.value || dims === undefined || dims[0] === batch;
  };
  const refusal = await refusalOf(runtime, { ...model, feature: choice.value }, batch);
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
    // Rows of all images together are not a feature of one image.
    candidates: names.filter(isPerImage).map((name) => {
      const chosen = name === choice.value;
      const missing = missingOn(traced, image.name, name);
      const refused = chosen && missing.length === 0 && refusal !== undefined ? [refusal] : missing;
      return { name, dims: traced.types.get(name)?.dims ?? [], chosen, missing: refused };
    }),
    ops: [...counts].map(([op, known]) => ({ op, ...known })).sort((a, b) => b.count - a.count),
    reason: choice.reason,
  };
}

/** The graph towards all candidates; towards the chosen one alone where another cannot be prepared. */
async function tracedTowards(
  runtime: Runtime,
  model: EncoderModel,
  image: ImageInput,
  names: readonly string[],
  chosen: string,
): Promise<TracedGraph> {
  const dims = imageDims(image, image.batch ?? 1, model.preprocessing.crop);
  const prepared = (values: readonly string[]) =>
    prepareGraph(runtime, onlyTowards(model.graph, values), { [image.name]: dims });
  return prepared(names).catch((error: unknown) => {
    if (error instanceof ModelError && names.length > 1) return prepared([chosen]);
    throw error;
  });
}

/** Why the chosen feature cannot be computed or differentiated, found by doing so on one batch. */
async function refusalOf(runtime: Runtime, model: EncoderModel, batch: number): Promise<string | undefined> {
  try {
    const encoder = await createEncoder(runtime, model);
    const compiled = await compileDerivative(runtime, await encoder.plan(batch), "recompute");
    await compiled.release();
    return undefined;
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
}

/** What keeps a candidate from being differentiated; empty where nothing does. */
function missingOn(traced: TracedGraph, input: string, name: string): string[] {
  if (!traced.types.has(name)) return ["(folded away)"];
  const missing = [...new Set(nodesWithoutRule(traced, [input], [name]).map(operatorOf))];
  if (missing.length > 0) return missing;
  const { dims } = traced.types.get(name)!;
  if (dims.length < 2 || dims.length > 4) return [`(${dims.length} axes)`];
  try {
    // Rules say only here which forms of their operators they do not cover.
    derive(traced, [input], [name]);
    return [];
  } catch (error) {
    if (error instanceof ModelError) return [error.message];
    throw error;
  }
}
