import { type Edit, edits, mirroredName } from "../images/edits.ts";
import { type ClosedFormProbe, evaluateClosedForms, fitClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import type { FeatureRows } from "../probe/rows.ts";

/** What a set is worth after each edit: top-1 of the closed form that is solved on the edited images, as fractions. */
export interface EditedAccuracy {
  readonly each: readonly { readonly name: string; readonly top1: number }[];
  readonly mean: number;
  readonly worst: number;
}

/** What edited sets are measured with. */
interface EditProtocol {
  readonly map: FeatureMap;
  readonly lambda: number;
  readonly test: FeatureRows;
  readonly gemm: Gemm;
  /** Whether a mirrored image keeps its class; where not, mirroring is not an edit. */
  readonly mirror: boolean;
  /** Edits whose features are asked for at the same time (default: one ahead of the one that is measured). */
  readonly atOnce?: number;
  readonly onEdit?: ((name: string) => void) | undefined;
}

/**
 * Measures a set after each edit of the list, by the closed form.
 * @param featuresOf features of the edited images, m × d
 * @param labels m × C, what the closed form is solved with
 */
export async function measureEdits(
  featuresOf: (edit: Edit) => Promise<Float32Array>,
  labels: Matrix,
  { map, lambda, test, gemm, mirror, atOnce = 2, onEdit }: EditProtocol,
): Promise<EditedAccuracy> {
  const probes: ClosedFormProbe[] = [];
  const asked: Promise<Float32Array>[] = [];
  const chosen = editsOf(mirror);
  for (const [i, edit] of chosen.entries()) {
    while (asked.length < Math.min(chosen.length, i + atOnce)) {
      const features = featuresOf(chosen[asked.length]);
      // Awaited when its turn comes; failing before that is not an unhandled rejection.
      features.catch(() => {});
      asked.push(features);
    }
    const features = await asked[i];
    // An edit can take all that the encoder sees: a probe of nothing knows nothing, and gives every image one class.
    const probe = features.every((value) => value === 0)
      ? { map, lambda, weight: matrix(test.featureSize, labels.cols) }
      : await fitClosedForm(features, labels, map, lambda, gemm);
    probes.push(probe);
    onEdit?.(edit.name);
  }
  const metrics = await evaluateClosedForms(probes, test, gemm);
  const each = chosen.map(({ name }, i) => ({ name, top1: metrics[i].top1 }));
  const values = each.map(({ top1 }) => top1);
  return { each, mean: values.reduce((sum, v) => sum + v, 0) / values.length, worst: Math.min(...values) };
}

/** The edits of a set; without the mirror where a mirrored image would be of another class. */
export const editsOf = (mirror: boolean): readonly Edit[] =>
  mirror ? edits : edits.filter(({ name }) => name !== mirroredName);
