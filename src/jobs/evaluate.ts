import { resolve } from "node:path";
import { type Artifact, readArtifact } from "../artifact/read-artifact.ts";
import type { JobContext } from "../context.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import { DataError, InterruptedError } from "../errors.ts";
import type { FeatureAugmenter } from "../evaluate/augmented-features.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { type EvaluationCrew, openEvaluationCrew } from "../evaluate/evaluation-crew.ts";
import { validationOf } from "../evaluate/protocol.ts";
import { openRunContext } from "../features/run-context.ts";
import { requireSameClasses } from "./baseline.ts";
import { evaluateArtifact, settingOf } from "./evaluate-artifact.ts";
import { columnsOf, newLabel, otherWeights, resizeOf } from "./evaluate-columns.ts";
import type { EvaluateParams } from "./params.ts";

/**
 * The fair evaluation: each artifact under each encoder (the one it was distilled with by default), by the
 * closed-form probe, LGM's gradient-trained head and the head with a tuned learning rate, with and without
 * evaluation augmentation, beside the full data and random images under the same recipes. Under another
 * encoder the exact float pixels are resized to its input and probes are solved anew.
 */
export async function runEvaluation(params: EvaluateParams, context: JobContext): Promise<Evaluation[]> {
  try {
    return await evaluateAll(params, context);
  } catch (error) {
    if (!context.signal.aborted || error instanceof InterruptedError) throw error;
    throw new InterruptedError("Stopped; nothing was written.", { cause: error });
  }
}

/** The same with the names of the data set's classes, for pages that show accuracy by class. */
export async function describedEvaluation(
  params: EvaluateParams,
  context: JobContext,
): Promise<{ readonly results: Evaluation[]; readonly classes: readonly string[] }> {
  const results = await runEvaluation(params, context);
  const { classes } = await openDataSet(params.data, hubReach(params.hub, context));
  return { results, classes };
}

async function evaluateAll(params: EvaluateParams, context: JobContext): Promise<Evaluation[]> {
  const artifacts: Artifact[] = [];
  for (const folder of params.artifacts) artifacts.push(await readArtifact(resolve(folder)));
  // Before the long work.
  const source = await openDataSet(params.data, hubReach(params.hub, context));
  for (const { manifest, folder } of artifacts) requireSameClasses(manifest, source.classes, folder);
  const results = new Map<Artifact, Evaluation[]>();
  const labels: string[] = [];
  for (const column of columnsOf(artifacts, params)) {
    const { artifacts: own, ...spec } = column;
    const resize = resizeOf(own, spec, params);
    const place = await openRunContext({ ...params, ...spec, resize }, context, { source });
    const label = newLabel(place.encoder, labels);
    labels.push(label);
    let crew: EvaluationCrew | undefined;
    let augmenter: FeatureAugmenter | undefined;
    try {
      if (place.test === undefined) {
        throw new DataError(
          `${place.source.name} has no test images. Add DIR/test, or give another data set.`,
        );
      }
      const validation = await validationOf(place.train);
      const { memoryBytes } = params;
      crew = await openEvaluationCrew(place, { validation, memoryBytes, signal: context.signal });
      if (params.augmentation !== "off") augmenter = await crew.augmenter();
      const setting = settingOf(place, crew, augmenter, validation, params, context);
      for (const artifact of own) {
        const note = otherWeights(place.encoder, artifact);
        if (note !== undefined) context.note(note);
        const known = results.get(artifact) ?? [];
        results.set(artifact, [...known, await evaluateArtifact(artifact, label, setting)]);
      }
    } finally {
      await augmenter?.release();
      await crew?.end();
      await place.release();
    }
  }
  return artifacts.flatMap((artifact) => results.get(artifact) ?? []);
}
