import { resolve } from "node:path";
import { readArtifact } from "../artifact/read-artifact.ts";
import type { JobContext } from "../context.ts";
import { decoded, withBytes } from "../data/decode-item.ts";
import { listed, requireSplit } from "../data/image-source.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import { DataError, InterruptedError } from "../errors.ts";
import { anyBatch } from "../export/any-batch.ts";
import { classifierGraph } from "../export/classifier-graph.ts";
import { modelMetadata } from "../export/config-files.ts";
import { ExportedClassifier } from "../export/exported-classifier.ts";
import type { StorageLoss } from "../export/model-card.ts";
import { type OnnxFiles, onnxFiles } from "../export/onnx-files.ts";
import { type ExportDtype, stored } from "../export/storage.ts";
import { requireSameScores } from "../export/try-classifier.ts";
import { requireExportOut, writeExport } from "../export/write-export.ts";
import { formatMany, formatPercent } from "../format.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { openSet } from "./open-set.ts";
import type { ExportParams } from "./params.ts";

/** What `export` wrote. */
export interface ExportSummary {
  readonly out: string;
  /** Files of the model, relative to `out`, with their sizes; weights beside a model count to it. */
  readonly files: readonly { readonly dtype: ExportDtype; readonly path: string; readonly bytes: number }[];
  /** The only number of pictures that it takes at once; absent where it takes any. */
  readonly batch?: number;
  /** What other types than fp32 cost, where a data set was given. */
  readonly losses: readonly StorageLoss[];
}

/** Test images that types are compared on, at most. */
const mostImages = 500;

/**
 * Writes a set as one ONNX classifier in the layout of the Hugging Face hub. What is written is run on a picture first, and
 * must give the scores of the encoder and the probe.
 * @throws DataError for a folder that holds no set or no probe, or an `out` that is not empty; ModelError when the encoder
 *   is another one, or cannot be exported
 */
export async function exportClassifier(params: ExportParams, context: JobContext): Promise<ExportSummary> {
  const { set, dtypes = ["fp32"], data, overwrite = false, externalAbove, ...options } = params;
  const { threads } = options;
  const out = resolve(params.out);
  await requireExportOut(out, overwrite);
  const artifact = await readArtifact(resolve(set));
  const { manifest } = artifact;
  const { made, probe, encoder } = await openSet(artifact, options, context, "float32");
  try {
    if (probe.calibration === undefined) {
      context.note(`${set} records no temperature: the probabilities of the classifier are not calibrated.`);
    }
    const traced = await anyBatch(encoder);
    const { batch } = traced;
    const graph = classifierGraph({ encoder: traced, preprocessing: made.encoder.preprocessing, probe });
    if (batch !== undefined) {
      const images = batch === 1 ? "one image" : `${batch} images`;
      context.note(`The encoder's graph fixes the batch: the classifier takes ${images} at a time.`);
    }
    await requireSameScores(nodeRuntime({ threads }), graph, encoder, probe, batch ?? 2);
    const losses =
      data === undefined ? [] : await measuredLosses(graph, { ...params, data }, manifest.classes, context);
    for (const { dtype, top1, exactTop1, images } of losses) {
      if (exactTop1 - top1 <= noteworthyLoss) continue;
      const [lower, exact] = [top1, exactTop1].map((share) => formatPercent(share));
      context.note(`${dtype} classifies ${lower} of ${images} test images correctly, float32 ${exact}.`);
    }
    const described = { ...manifest, ...made };
    const metadata = modelMetadata(described);
    const files = dtypes.map((dtype) => onnxFiles(graph, dtype, metadata, externalAbove));
    const card = { files: files as [OnnxFiles, ...OnnxFiles[]], batch, losses, measuredOn: data };
    await writeExport(out, described, card, overwrite);
    return {
      out,
      files: files.map(({ dtype, name, bytes }) => ({ dtype, path: `onnx/${name}`, bytes })),
      ...(batch === undefined ? {} : { batch }),
      losses,
    };
  } finally {
    await encoder.release();
  }
}

/** A loss of accuracy from which on it is noted, too. */
const noteworthyLoss = 0.005;

/** How other types than fp32 classify test images of a data set, beside it. */
async function measuredLosses(
  graph: Graph,
  { dtypes = [], data, hub, threads }: ExportParams & { readonly data: string },
  classes: readonly string[],
  context: JobContext,
): Promise<StorageLoss[]> {
  const others = dtypes.filter((dtype) => dtype !== "fp32");
  const source = await openDataSet(data, hubReach(hub, context));
  if (String(source.classes) !== String(classes)) {
    throw new DataError(
      `${source.name} has the classes ${listed(source.classes)}, the set ${listed(classes)}. Give the data set that the ` +
        "set was made from, or leave `data` out.",
    );
  }
  requireSplit(source, "test");
  const images = source.images("test");
  const count = Math.min(images.length, mostImages);
  const classifiers: ExportedClassifier[] = [];
  try {
    for (const dtype of ["fp32", ...others] as const)
      classifiers.push(await ExportedClassifier.open(nodeRuntime({ threads }), stored(graph, dtype)));
    const same = new Int32Array(classifiers.length);
    const right = new Int32Array(classifiers.length);
    let read = 0;
    for (let i = 0; i < count; i++) {
      if (context.signal.aborted) throw new InterruptedError("Stopped while comparing types of weights.");
      context.progress({ stage: "Comparing types", done: i, total: count, unit: "images" });
      const item = images.at(Math.floor((i * images.length) / count));
      const image = await decoded(await withBytes(item), {});
      if ("failed" in image) continue;
      read++;
      const best: number[] = [];
      for (const classifier of classifiers) best.push(argmax(await classifier.logits([image])));
      for (const [k, label] of best.entries()) {
        if (label === best[0]) same[k]++;
        if (label === item.label) right[k]++;
      }
    }
    if (read === 0)
      throw new DataError(`None of ${formatMany(count, "test image")} of ${source.name} could be read.`);
    return others.map((dtype, k) => ({
      dtype,
      images: read,
      agreement: same[k + 1] / read,
      top1: right[k + 1] / read,
      exactTop1: right[0] / read,
    }));
  } finally {
    for (const classifier of classifiers) await classifier.release();
  }
}

const argmax = (values: Float32Array): number => values.indexOf(values.reduce((a, b) => Math.max(a, b)));
