import type { Kept } from "../files/kept.ts";
import {
  type ClosedFormProbe,
  evaluateClosedForm,
  evaluateClosedForms,
  fitClosedFormOnRows,
} from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFullData } from "../probe/full-data.ts";
import type { Gemm } from "../probe/gemm.ts";
import { fitFullLogistic } from "../probe/logistic.ts";
import { type Metrics, meanStd } from "../probe/metrics.ts";
import type { FeatureRows } from "../probe/rows.ts";
import { centroidImages, randomImages } from "../select/coresets.ts";

/** Seeds of the random baseline. */
const baselineSeeds = [0, 1, 2, 3, 4] as const;

/** What a synthetic set is measured beside, all by closed-form probes on the same feature map. */
export interface RealReferences {
  readonly fullData: { readonly metrics: Metrics; readonly lambda: number };
  /** Logistic regression on the full data; absent where it would take long. */
  readonly logistic?: Metrics;
  readonly centroid: Metrics;
  readonly random: { readonly mean: number; readonly std: number; readonly seeds: readonly number[] };
}

/** Parts of a comparison's work, for progress. */
export const comparisonParts = 3 + baselineSeeds.length;

/**
 * The full-data probe and the real-image baselines with `ipc` images per class. The full-data probe chooses its λ
 * on a held-out tenth of the training data; the baselines use the recorded λ. Both are kept: the logistic one takes
 * longer than many a distillation. The ridge probe is not the best that the full
 * data allow, which is why logistic regression stands beside it.
 */
export async function compareWithReal(
  train: FeatureRows,
  test: FeatureRows,
  classes: number,
  ipc: number,
  map: FeatureMap,
  lambda: number,
  gemm: Gemm,
  kept: Kept,
  onPart: (name: string) => void = () => {},
): Promise<RealReferences> {
  const { normalization } = map;
  const fullData = await kept.value({ what: "full data", normalization }, async () => {
    const full = await fitFullData(train, classes, map, gemm);
    return { metrics: await evaluateClosedForm(full, test, gemm), lambda: full.lambda };
  });
  onPart("full data");
  const logistic = await kept.value({ what: "full data, logistic", normalization }, async () => {
    const fitted = await fitFullLogistic(train, classes, map, gemm);
    return fitted && (await evaluateClosedForm({ ...fitted, map, lambda: fitted.l2 }, test, gemm));
  });
  onPart("full data, logistic");
  const onRealImages = (rows: Int32Array) => fitClosedFormOnRows(train, rows, classes, map, lambda, gemm);
  const probes: ClosedFormProbe[] = [await onRealImages(await centroidImages(train, classes, ipc))];
  onPart("centroid");
  for (const seed of baselineSeeds) {
    probes.push(await onRealImages(randomImages(train.labels, classes, ipc, seed)));
    onPart(`random ${seed}`);
  }
  const [centroid, ...random] = await evaluateClosedForms(probes, test, gemm);
  const accuracies = random.map(({ top1 }) => top1);
  return {
    fullData,
    ...(logistic ? { logistic } : {}),
    centroid,
    random: { ...meanStd(accuracies), seeds: baselineSeeds },
  };
}
