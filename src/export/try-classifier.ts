import type { Encoder } from "../encoder/encoder.ts";
import { ModelError } from "../errors.ts";
import { formatPercent } from "../format.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import type { RgbImage } from "../images/types.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { matrix } from "../probe/matrix.ts";
import type { Probe } from "../probe/probe.ts";
import { seededRandom } from "../random.ts";
import { ExportedClassifier } from "./exported-classifier.ts";

/** Scores may differ by this share of their range: pixels are rounded from sums in float32 instead of in fixed point. */
const tolerance = 0.02;

/**
 * Runs the classifier on made pictures before it is written.
 * @throws ModelError where it gives other scores than the encoder and the probe
 */
export async function requireSameScores(
  runtime: Runtime,
  graph: Graph,
  encoder: Encoder,
  probe: Probe,
  batch: number,
): Promise<void> {
  const { preprocessing, featureSize } = encoder;
  const images = Array.from({ length: batch }, (_, i) => madePicture(preprocessing, i));
  const pixels = new Uint8Array(batch * inputBytes(preprocessing));
  for (const [i, image] of images.entries()) {
    preprocess(
      image,
      preprocessing,
      pixels.subarray(i * inputBytes(preprocessing), (i + 1) * inputBytes(preprocessing)),
    );
  }
  const features = Float64Array.from(await encoder.features(pixels, batch));
  const expected = probe.scores(matrix(batch, featureSize, features)).data;
  const temperature = probe.calibration?.temperature ?? 1;
  const classifier = await ExportedClassifier.open(runtime, graph);
  const found = await classifier.logits(images).finally(() => classifier.release());
  const range = Math.max(...expected) - Math.min(...expected);
  const largest = expected.reduce(
    (most, score, i) => Math.max(most, Math.abs(score - found[i] * temperature)),
    0,
  );
  if (largest <= tolerance * range || (range === 0 && largest < 1e-6)) return;
  throw new ModelError(
    `The encoder ${encoder.provenance.id} cannot be exported: the classifier's scores of a picture differ by ` +
      `${formatPercent(largest / range)} of their range from those of the encoder and the probe. Nothing was written. ` +
      "Classify with `clp-dd classify`, or use another encoder.",
  );
}

/** A picture of smooth colors and noise, larger than the encoder's input. */
function madePicture({ resize, crop }: Preprocessing, seed: number): RgbImage {
  const [height, width] = (typeof resize === "number" ? [resize, resize] : (resize ?? crop)).map(
    (side, axis) => Math.round(side * (1.5 + 0.2 * axis)),
  );
  const random = seededRandom(seed, "a picture to try an export on");
  const data = Uint8Array.from({ length: height * width * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    const wave = Math.sin(((1 + (i % 3)) * x) / 37 + seed) + Math.cos(y / (23 + 5 * (i % 3)));
    return Math.max(0, Math.min(255, 128 + 50 * wave + 40 * (random.uniform() - 0.5)));
  });
  return { width, height, data };
}
