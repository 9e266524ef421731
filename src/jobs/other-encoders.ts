import type { JobContext } from "../context.ts";
import { featureName } from "../encoder/encoder.ts";
import { parseEncoderSpec } from "../encoder/spec.ts";
import { DataError, UsageError } from "../errors.ts";
import { openRunContext, type RunContext } from "../features/run-context.ts";
import type { DistillParams } from "./params.ts";

/**
 * Opens the further encoders of a distillation on the data set of the first, with their features of the same images.
 * @param place of the first encoder
 * @throws UsageError for an encoder that is named twice; DataError where some images have features under one encoder alone
 */
export async function openOthers(
  params: DistillParams,
  place: RunContext,
  context: JobContext,
): Promise<RunContext[]> {
  const opened: RunContext[] = [];
  try {
    for (const text of params.others ?? []) {
      const options = { differentiates: true, source: place.source };
      const other = await openRunContext(otherParams(text, params), context, options);
      opened.push(other);
      requireAnother(text, other, [place, ...opened.slice(0, -1)]);
      requireSameImages(text, other, place);
    }
    return opened;
  } catch (error) {
    for (const other of opened) await other.release();
    throw error;
  }
}

/**
 * How a further encoder is opened: where and in what precision the first one is, at the size that its text says, else at
 * `size`. Real images are resized before the crop in the proportion that holds for the first. What names a tensor, a
 * revision or the form of a file is of one encoder alone.
 */
function otherParams(text: string, params: DistillParams): DistillParams {
  const { encoder, size = params.size, feature } = parseEncoderSpec(text);
  const { pool: _, revision: __, inputLayout: ___, featureLayout: ____, ...shared } = params;
  const scaled =
    params.resize !== undefined && params.size !== undefined && size !== undefined
      ? Math.round((params.resize * size) / params.size)
      : undefined;
  return { ...shared, encoder, size, feature, resize: scaled };
}

const keyOf = ({ encoder }: RunContext): string =>
  JSON.stringify([encoder.provenance.sha256, featureName(encoder), encoder.preprocessing]);

function requireAnother(text: string, other: RunContext, before: readonly RunContext[]): void {
  if (before.every((place) => keyOf(place) !== keyOf(other))) return;
  throw new UsageError(
    `"${text}" is among the encoders twice. Leave one out, or give it another size or feature, as in ${text}@96.`,
  );
}

/** The rows of all encoders must be of the same images: a step takes the same of each. */
function requireSameImages(text: string, other: RunContext, place: RunContext): void {
  for (const split of ["train", "test"] as const) {
    const [a, b] = [place[split], other[split]];
    const at = (row: number, rows = a) => rows?.imageIndices?.[row] ?? row;
    const same =
      a?.count === b?.count && Array.from({ length: a?.count ?? 0 }).every((_, i) => at(i) === at(i, b));
    if (same) continue;
    throw new DataError(
      `Some ${split} images could be read for one encoder and not for "${text}": their features are of ` +
        `${a?.count ?? 0} and ${b?.count ?? 0} images. Remove the unreadable images, or delete the cached features and try again.`,
    );
  }
}
