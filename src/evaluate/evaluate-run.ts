import type { JobContext } from "../context.ts";
import type { RunContext } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import type { Calibration } from "../probe/calibration.ts";
import { type ClosedFormProbe, evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
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

/** Measures a run's images after each edit, by the map and λ of their probe on the test features. */
export async function measureRunEdits(
  { map, lambda }: ClosedFormProbe,
  test: NonNullable<RunContext["test"]>,
  gemm: Gemm,
  { featuresOf, labels, mirror }: EditedImages,
  context: JobContext,
): Promise<EditedAccuracy> {
  const total = editsOf(mirror).length;
  let done = 0;
  const onEdit = (detail: string) =>
    context.progress({ stage: "Evaluating edits", done: ++done, total, unit: "edits", detail });
  return measureEdits(featuresOf, labels, { map, lambda, test, gemm, mirror, onEdit });
}

/**
 * Evaluates the closed-form probe of a run on the test features.
 * @param calibration of the probe, whose error on the test features is measured
 * @param compared what full data and real images are measured with; undefined where they are not to be measured
 */
export async function evaluateRun(
  probe: ClosedFormProbe,
  calibration: Calibration,
  test: NonNullable<RunContext["test"]>,
  { source, train, gemm, kept }: Pick<RunContext, "source" | "train" | "gemm" | "kept">,
  compared: { readonly ipc: number; readonly map: FeatureMap; readonly lambda: number } | undefined,
  context: JobContext,
): Promise<Omit<RunEvaluation, "edits">> {
  const own = await evaluateClosedForm(probe, test, gemm, { temperature: calibration.temperature });
  let done = 0;
  const report = (detail: string) =>
    context.progress({ stage: "Evaluating", done: ++done, total: comparisonParts, unit: "probes", detail });
  const classes = source.classes.length;
  const comparison =
    compared &&
    (await compareWithReal(
      ...([train, test, classes, compared.ipc, compared.map, compared.lambda, gemm, kept, report] as const),
    ));
  return { own, ...(comparison ? { comparison } : {}) };
}
