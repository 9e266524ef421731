import type { Encoder } from "../encoder/encoder.ts";
import { givenForm } from "../encoder/model-form.ts";
import type { Manifest } from "./manifest.ts";

/** What an encoder is compared by. */
export type Comparable = Pick<Encoder, "provenance" | "preprocessing" | "form"> & {
  readonly feature: Pick<Encoder["feature"], "tensor" | "pool">;
};

/**
 * How an encoder differs from the one a set was made with, in words; undefined where it gives the same features, up
 * to the precision that it computes in.
 */
export function encoderDifference(
  { provenance, feature, preprocessing, form }: Comparable,
  recorded: Manifest["encoder"],
): string | undefined {
  if (provenance.sha256 !== recorded.sha256) {
    return `its weights have the sha256 ${provenance.sha256}, recorded is ${recorded.sha256}`;
  }
  if (feature.tensor !== recorded.feature || feature.pool !== recorded.pool) {
    return (
      `its feature is "${feature.tensor}" (pooling: ${feature.pool}), recorded is "${recorded.feature}" ` +
      `(pooling: ${recorded.pool})`
    );
  }
  const [given, expected] = [JSON.stringify(preprocessing), JSON.stringify(recorded.preprocessing)];
  if (given !== expected) return `its preprocessing is ${given}, recorded is ${expected}`;
  const [own, known] = [JSON.stringify(givenForm(form)), JSON.stringify(givenForm(recorded.form ?? {}))];
  return own === known ? undefined : `its form is ${own}, recorded is ${known}`;
}
