import { resolve } from "node:path";
import { readArtifact } from "../artifact/read-node.ts";
import { fitFeatureMaps, prepareWorkplace } from "../distill/prepare-node.ts";
import type { EvaluateParams } from "../engine/params.ts";
import type { JobContext } from "../engine/protocol.ts";
import { DataError } from "../errors.ts";
import { matrix } from "../probe/matrix.ts";
import { evaluateClosedForm, fitClosedForm } from "./closed-form.ts";
import type { Metrics } from "./metrics.ts";

/** How well one artefact does on the test images of a data set. */
export interface Evaluation {
  readonly artifact: string;
  readonly encoder: string;
  /** The encoder it was distilled with. */
  readonly distilledWith: string;
  readonly metrics: Metrics;
}

/**
 * The closed-form probe of each artefact on a data set's test images: the recorded probe under the encoder it
 * was distilled with, a probe solved anew from its images under another one.
 */
export async function runEvaluation(params: EvaluateParams, context: JobContext): Promise<Evaluation[]> {
  const results: Evaluation[] = [];
  for (const folder of params.artifacts) {
    const artifact = await readArtifact(resolve(folder));
    const { encoder: recorded, classes, config } = artifact.manifest;
    const same = params.encoder === undefined || params.encoder === recorded.id;
    const size = params.size ?? recorded.preprocessing.crop[0];
    const { resize } = recorded.preprocessing;
    const place = await prepareWorkplace(
      {
        ...params,
        encoder: params.encoder ?? recorded.id,
        size,
        ...(same ? { feature: recorded.feature } : {}),
        ...(typeof resize === "number" && size === recorded.preprocessing.crop[0] ? { resize } : {}),
      },
      context,
    );
    try {
      const { source, test, train, encoder, gemm } = place;
      if (source.classes.join("\0") !== classes.join("\0")) {
        throw new DataError(
          `${folder} has the classes ${classes.slice(0, 4).join(", ")}…, the data set ${source.classes.slice(0, 4).join(", ")}…: ` +
            "expected the same ones in the same order.",
        );
      }
      if (test === undefined)
        throw new DataError(`${source.name} has no test images. Add DIR/test, or give another data set.`);
      let probe = await artifact.probe();
      if (!same || encoder.provenance.sha256 !== recorded.sha256) {
        const images = await artifact.images();
        const features = await encoder.features(images, artifact.labels.length);
        const labels = matrix(
          artifact.labels.length,
          classes.length,
          Float64Array.from(await artifact.softLabels()),
        );
        const [map] = await fitFeatureMaps([probe.map.normalization], train);
        probe = await fitClosedForm(features, labels, map!, config.lambda, gemm);
      }
      const metrics = await evaluateClosedForm(probe, test, gemm, test.groups ? { groups: test.groups } : {});
      results.push({ artifact: folder, encoder: encoder.provenance.id, distilledWith: recorded.id, metrics });
    } finally {
      await place.release();
    }
  }
  return results;
}
