import { UsageError } from "../../errors.ts";
import { mostSide, type Preprocessing } from "../../images/preprocess.ts";

/** What a person may want otherwise than the encoder has it. */
export interface SizeOptions {
  /** Side of the crop; the resize is scaled with it. */
  readonly size?: number;
  /** Shorter edge before the crop, instead of the encoder's own ratio. */
  readonly resize?: number;
}

/**
 * A preprocessing at another size.
 * @throws UsageError for sides that no image is made with
 */
export function resized(preprocessing: Preprocessing, { size, resize: edge }: SizeOptions): Preprocessing {
  for (const [name, side] of Object.entries({ size, resize: edge })) {
    if (side === undefined || (Number.isInteger(side) && side >= 1 && side <= mostSide)) continue;
    throw new UsageError(
      `\`${name}: ${side}\` was given. Expected a whole number of pixels from 1 to ${mostSide}.`,
    );
  }
  const found = scaledTo(preprocessing, { size, resize: edge });
  const sides = [found.resize ?? 1].flat();
  if (sides.every((side) => side >= 1 && side <= mostSide)) return found;
  throw new UsageError(
    `\`size: ${size}\` was given: this encoder's images would be resized to ${sides.join(" × ")} pixels before the crop. ` +
      `Expected 1 to ${mostSide}; choose another \`size\`, or the edge itself with \`resize\`.`,
  );
}

function scaledTo(
  preprocessing: Preprocessing,
  { size, resize: edge }: { readonly size: number | undefined; readonly resize: number | undefined },
): Preprocessing {
  if (edge !== undefined) return { ...scaledTo(preprocessing, { size, resize: undefined }), resize: edge };
  if (size === undefined) return preprocessing;
  const scale = size / preprocessing.crop[0];
  const { resize } = preprocessing;
  const scaled =
    resize === null
      ? null
      : typeof resize === "number"
        ? Math.round(resize * scale)
        : // Axis by axis: what shows the whole image still does.
          ([0, 1].map((axis) => Math.round((resize[axis] * size) / preprocessing.crop[axis])) as [
            number,
            number,
          ]);
  return { ...preprocessing, resize: scaled, crop: [size, size] };
}
