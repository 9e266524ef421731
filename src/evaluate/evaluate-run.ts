import type { JobContext } from "../context.ts";
import type { RunContext } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import type { Calibration } from "../probe/calibration.ts";
import { type ClosedFormProbe, evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Matrix } from "../probe/matrix.ts";
import type { Metrics } from "../probe/metrics.ts";
import { type EditedAccuracy, editsOf, measureEdits } from "./measure-edits.ts";
import { compareWithReal, comparisonParts, type RealReferences } from "./real-references.ts";

/** What a run's images are worth, and what they are compared with. */
export interface RunEvaluation {
  readonly own: Metrics;
  /** Absent where no comparison was asked for. */
  readonly comparison?: RealReferences;
  /** Absent where edits were not asked for. */
  readonly edits?: EditedAccuracy;
}

/** What edits of a run's images are measured with. */
interface EditedImages {
  /** Features of the edited images, m × d. */
  readonly featuresOf: (edit: Edit) => Promise<Float32Array>;
  /** m × C. */
  readonly labels: Matrix;
  readonly mirror: boolean;
}

/**
 * Evaluates the closed-form probe of a run on the test features.
 * @param calibration of the probe, whose error on the test features is measured
 * @param compared what full data and real images are measured with; undefined where they are not to be measured
 * @param edited undefined where edits are not to be measured
 */
export async function evaluateRun(
  probe: ClosedFormProbe,
  calibration: Calibration,
  test: NonNullable<RunContext["test"]>,
  { source, train, gemm, kept }: Pick<RunContext, "source" | "train" | "gemm" | "kept">,
  compared: { readonly ipc: number; readonly map: FeatureMap; readonly lambda: number } | undefined,
  edited: EditedImages | undefined,
  context: JobContext,
): Promise<RunEvaluation> {
  const own = await evaluateClosedForm(probe, test, gemm, { temperature: calibration.temperature });
  const total = (edited ? editsOf(edited.mirror).length : 0) + (compared ? comparisonParts : 0);
  let done = 0;
  const report = (detail: string) =>
    context.progress({ stage: "Evaluating", done: ++done, total, unit: "probes", detail });
  const edits =
    edited &&
    (await measureEdits(edited.featuresOf, edited.labels, {
      map: probe.map,
      lambda: probe.lambda,
      test,
      gemm,
      mirror: edited.mirror,
      onEdit: report,
    }));
  const classes = source.classes.length;
  const comparison =
    compared &&
    (await compareWithReal(
      ...([train, test, classes, compared.ipc, compared.map, compared.lambda, gemm, kept, report] as const),
    ));
  return { own, ...(comparison ? { comparison } : {}), ...(edits ? { edits } : {}) };
}
