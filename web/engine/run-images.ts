import type { RealFeatures } from "../../src/browser/index.ts";
import type { ClassInfo, ImageLicense } from "./protocol.ts";
import { recordBytes, recordOf } from "./records.ts";

/** The images that a run is of. */
export interface RunImages {
  readonly classes: readonly ClassInfo[];
  readonly train: RealFeatures;
  readonly test: RealFeatures | undefined;
  readonly licenses: readonly ImageLicense[];
}

/** The images of a run as a file: one record of the journal's form. */
export function imagesBytes({ classes, train, test, licenses }: RunImages): Uint8Array<ArrayBuffer> {
  const parts = [train, ...(test ? [test] : [])];
  const json = {
    classes,
    licenses,
    parts: parts.map(({ labels, fingerprint }) => ({ labels: [...labels], fingerprint })),
  };
  const numbers = new Float32Array(parts.reduce((sum, { features }) => sum + features.length, 0));
  numbers.set(train.features);
  if (test) numbers.set(test.features, train.features.length);
  return recordBytes({ json, bytes: new Uint8Array(numbers.buffer) });
}

/** The images that `imagesBytes` wrote. */
export function imagesOf(file: Uint8Array): RunImages {
  const { json, bytes } = recordOf(file);
  const { classes, licenses, parts } = json as {
    readonly classes: ClassInfo[];
    readonly licenses: ImageLicense[];
    readonly parts: readonly { readonly labels: number[]; readonly fingerprint: string }[];
  };
  const numbers = new Float32Array(bytes.slice().buffer);
  const d = numbers.length / parts.reduce((sum, { labels }) => sum + labels.length, 0);
  let at = 0;
  const [train, test] = parts.map(({ labels, fingerprint }): RealFeatures => {
    const features = numbers.subarray(at, at + labels.length * d);
    at += features.length;
    return { features, labels: Int32Array.from(labels), fingerprint };
  });
  return { classes, train: train!, test, licenses };
}
