import type { Encoder } from "../encoder/encoder.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { ModelError } from "../errors.ts";
import type { Manifest } from "./manifest.ts";
import type { SetEncoderOptions } from "./set-encoder-options.ts";

/** What an encoder is compared by. */
type Comparable = Pick<Encoder, "provenance" | "preprocessing" | "form"> & {
  readonly feature: Pick<Encoder["feature"], "tensor" | "pool">;
};

/** The parameters that open the encoder a set was made with, at the commit and with the preprocessing recorded. */
function encoderParamsOf({
  encoder,
  imageSize,
}: Manifest): Required<Pick<EncoderParams, "encoder" | "size" | "feature" | "pool">> &
  Pick<EncoderParams, "revision" | "resize"> &
  ModelForm {
  const { resize } = encoder.preprocessing;
  return {
    encoder: encoder.id,
    size: imageSize,
    feature: encoder.feature,
    pool: encoder.askedPool,
    revision: encoder.revision,
    // A pair of sides, or none, is the encoder's own way and no parameter.
    resize: typeof resize === "number" ? resize : undefined,
    ...encoder.form,
  };
}

/** The parameters that open a set's encoder where and as the options say. */
export function setEncoderParams(manifest: Manifest, options: SetEncoderOptions): EncoderParams {
  const recorded = encoderParamsOf(manifest);
  const { encoder = recorded.encoder, device = "cpu" } = options;
  const precision = options.precision ?? (device === "cpu" ? "float32" : manifest.encoder.precision);
  return { ...recorded, ...options, encoder, device, precision };
}

/** Throws ModelError unless an opened encoder gives the features of the set in `folder`. */
export function requireSetEncoder(
  opened: Comparable,
  { encoder }: Manifest,
  folder: string,
  name: string,
): void {
  const difference = encoderDifference(opened, encoder);
  if (difference === undefined) return;
  throw new ModelError(
    `${name} is not the encoder that ${folder} was made with: ${difference}. Give the \`encoder\` that the set was ` +
      "made with, or evaluate the set under another one with evaluate().",
  );
}

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
