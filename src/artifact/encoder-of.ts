import type { Encoder } from "../encoder/encoder.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { ModelError, UsageError } from "../errors.ts";
import type { Manifest, OtherRecord } from "./manifest.ts";
import type { SetEncoderOptions } from "./set-encoder-options.ts";

/** What an encoder is compared by. */
type Comparable = Pick<Encoder, "provenance" | "preprocessing" | "form"> & {
  readonly feature: Pick<Encoder["feature"], "tensor" | "pool">;
};

/** The encoders that a set's images were made for, with their probes; the first one's size is the images'. */
export function encodersOf({ encoder, probe, metrics, others = [] }: Manifest): OtherRecord[] {
  return [{ encoder, probe, metrics, file: "probe.safetensors" }, ...others];
}

/** "name@96#tensor", which no two encoders of a set have in common. */
export function recordedName(encoder: Manifest["encoder"]): string {
  return `${sizedName(encoder)}#${encoder.feature}`;
}

/** "name@96". */
export function sizedName({ id, preprocessing: { crop } }: Manifest["encoder"]): string {
  return `${id}@${crop[0] === crop[1] ? crop[0] : crop.join("x")}`;
}

/** The first encoder of a set that is called `name`, "name@size" or "name@size#tensor"; undefined where none is. */
function encoderOf(manifest: Manifest, name: string): OtherRecord | undefined {
  const made = encodersOf(manifest);
  return [(own: Manifest["encoder"]) => own.id, sizedName, recordedName]
    .map((nameOf) => made.find(({ encoder }) => nameOf(encoder) === name))
    .find((found) => found !== undefined);
}

/** The same; throws UsageError, naming the set's encoders, where none is. */
export function requireEncoderOf(manifest: Manifest, name: string): OtherRecord {
  const found = encoderOf(manifest, name);
  if (found !== undefined) return found;
  const names = encodersOf(manifest).map(({ encoder }) => sizedName(encoder));
  throw new UsageError(`The set was not made for the encoder "${name}". Its encoders: ${names.join(", ")}.`);
}

/** The parameters that open an encoder a set was made with, at the commit and with the preprocessing recorded. */
function encoderParamsOf(
  encoder: Manifest["encoder"],
): Required<Pick<EncoderParams, "encoder" | "feature" | "pool">> &
  Pick<EncoderParams, "revision" | "resize" | "size"> &
  ModelForm {
  const { resize, crop } = encoder.preprocessing;
  return {
    encoder: encoder.id,
    // A pair of sides that differ is the encoder's own.
    size: crop[0] === crop[1] ? crop[0] : undefined,
    feature: encoder.feature,
    pool: encoder.askedPool,
    revision: encoder.revision,
    // A pair of sides, or none, is the encoder's own way and no parameter.
    resize: typeof resize === "number" ? resize : undefined,
    ...encoder.form,
  };
}

/**
 * The encoder of a set that the options mean, and the parameters that open it where and as they say. A name that is none of
 * the set's encoders says where the first one is now.
 */
export function setEncoderParams(
  manifest: Manifest,
  options: SetEncoderOptions,
): { readonly made: OtherRecord; readonly params: EncoderParams } {
  const named = options.encoder === undefined ? undefined : encoderOf(manifest, options.encoder);
  const made = named ?? encodersOf(manifest)[0];
  const recorded = encoderParamsOf(made.encoder);
  const { device = "cpu" } = options;
  const encoder = named === undefined ? (options.encoder ?? recorded.encoder) : recorded.encoder;
  const precision = options.precision ?? (device === "cpu" ? "float32" : made.encoder.precision);
  return { made, params: { ...recorded, ...options, encoder, device, precision } };
}

/** Throws ModelError unless an opened encoder gives the features of the set in `folder`. */
export function requireSetEncoder(
  opened: Comparable,
  { encoder }: Pick<OtherRecord, "encoder">,
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
