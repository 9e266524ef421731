import { pickImages } from "../data/pick.ts";
import type { RunContext } from "../features/run-context.ts";
import { edits, mirroredName } from "../images/edits.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { type MirrorTest, mirrorTest } from "./mirror-test.ts";

/** The mirror test (mirror-test.ts) of a data set's training images. */
export function testMirror(
  { source, encoder, train, gemm }: Pick<RunContext, "source" | "encoder" | "train" | "gemm">,
  map: FeatureMap,
): Promise<MirrorTest | undefined> {
  return mirrorTest({
    train,
    classes: source.classes.length,
    map,
    gemm,
    mirroredFeatures: (rows) => mirroredFeatures(source, encoder, rows, train.imageIndices),
  });
}

/** Images that are decoded at a time. */
const batchImages = 32;

async function mirroredFeatures(
  source: RunContext["source"],
  encoder: RunContext["encoder"],
  rows: Int32Array,
  imageIndices: Int32Array | undefined,
): Promise<Float32Array> {
  const mirror = edits.find(({ name }) => name === mirroredName)!;
  const d = encoder.featureSize;
  const out = new Float32Array(rows.length * d);
  for (let start = 0; start < rows.length; start += batchImages) {
    const indices = rows.slice(start, start + batchImages).map((row) => imageIndices?.[row] ?? row);
    const images = await pickImages(source, "train", indices, encoder.preprocessing);
    const mirrored = await mirror.apply(images, encoder.preprocessing.crop[0], start);
    out.set(await encoder.features(mirrored, indices.length), start * d);
  }
  return out;
}
