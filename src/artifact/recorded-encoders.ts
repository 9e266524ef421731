import type { Manifest, OtherRecord } from "./manifest.ts";

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
