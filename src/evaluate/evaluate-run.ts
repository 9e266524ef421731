import type { JobContext } from "../context.ts";
import type { Workplace } from "../features/run-context.ts";
import { type ClosedFormProbe, evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Metrics } from "../probe/metrics.ts";
import { compareWithReal, comparisonParts, type RealReferences } from "./real-references.ts";

/** What a run's images are worth, and what they are compared with. */
export interface RunEvaluation {
  readonly own: Metrics;
  /** Absent where no comparison was asked for. */
  readonly comparison?: RealReferences;
}

/**
 * Evaluates the closed-form probe of a run on the test features.
 * @param compared what full data and real images are measured with; undefined where they are not to be measured
 */
export async function evaluateRun(
  probe: ClosedFormProbe,
  test: NonNullable<Workplace["test"]>,
  { source, train, gemm }: Pick<Workplace, "source" | "train" | "gemm">,
  compared: { readonly ipc: number; readonly map: FeatureMap; readonly lambda: number } | undefined,
  context: JobContext,
): Promise<RunEvaluation> {
  const own = await evaluateClosedForm(probe, test, gemm);
  if (compared === undefined) return { own };
  const { ipc, map, lambda } = compared;
  let done = 0;
  const report = (detail: string) =>
    context.progress({ stage: "Evaluating", done: ++done, total: comparisonParts, unit: "probes", detail });
  const classes = source.classes.length;
  return { own, comparison: await compareWithReal(train, test, classes, ipc, map, lambda, gemm, report) };
}
