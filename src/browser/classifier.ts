import { encoderDifference } from "../artifact/encoder-difference.ts";
import type { Manifest } from "../artifact/manifest.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { ModelError } from "../errors.ts";
import { anyBatch } from "../export/any-batch.ts";
import { classifierGraph } from "../export/classifier-graph.ts";
import { modelMetadata } from "../export/config-files.ts";
import { exportTexts } from "../export/export-texts.ts";
import { onnxFiles } from "../export/onnx-files.ts";
import type { ExportDtype } from "../export/storage.ts";
import { requireSameScores } from "../export/try-classifier.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { Probe } from "../probe/probe.ts";
import type { ArtifactFiles } from "./artifact.ts";

/**
 * A set as one ONNX classifier: the files that `clp-dd export` writes, by their paths in its folder. The classifier is run
 * on a picture first, and must give the scores of the encoder and the probe.
 * @param encoder the one that the set was made with
 * @throws ModelError when it is another one, or cannot be exported
 */
export async function classifierFiles(
  runtime: Runtime,
  encoder: Encoder,
  { manifest, probe }: { readonly manifest: Manifest; readonly probe: Probe },
  dtype: ExportDtype = "fp32",
): Promise<ArtifactFiles> {
  const difference = encoderDifference(encoder, manifest.encoder);
  if (difference !== undefined) {
    throw new ModelError(
      `The set was made with ${manifest.encoder.id}; of the open encoder, ${encoder.provenance.id}, ${difference}. ` +
        "Open the set's encoder first.",
    );
  }
  const traced = await anyBatch(encoder);
  const graph = classifierGraph({ encoder: traced, preprocessing: encoder.preprocessing, probe });
  await requireSameScores(runtime, graph, encoder, probe, traced.batch ?? 2);
  const model = onnxFiles(graph, dtype, modelMetadata(manifest));
  const files: Record<string, Uint8Array> = { [`onnx/${model.name}`]: model.model };
  for (const { name, parts } of model.weights) {
    const bytes = new Uint8Array(
      parts.reduce((most, { data, offset }) => Math.max(most, offset + data.length), 0),
    );
    for (const { data, offset } of parts) bytes.set(data, offset);
    files[`onnx/${name}`] = bytes;
  }
  const card = { files: [model], batch: traced.batch, losses: [] } as const;
  for (const [name, text] of Object.entries(exportTexts(manifest, card))) {
    files[name] = new TextEncoder().encode(text);
  }
  return files;
}
