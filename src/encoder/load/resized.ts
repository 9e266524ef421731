import type { Preprocessing } from "../../images/preprocess.ts";

/** What a person may want otherwise than the encoder has it. */
export interface SizeOptions {
  /** Side of the crop; the resize is scaled with it. */
  readonly size?: number;
  /** Shorter edge before the crop, instead of the encoder's own ratio. */
  readonly resize?: number;
}

/** A preprocessing at another size. */
export function resized(preprocessing: Preprocessing, { size, resize: edge }: SizeOptions): Preprocessing {
  if (edge !== undefined)
    return { ...resized(preprocessing, size === undefined ? {} : { size }), resize: edge };
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
