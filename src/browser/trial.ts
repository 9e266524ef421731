import { createChunkedEncoder } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { seededRandom } from "../random.ts";

/** An encoder with the runtime that it was opened for. */
export interface OpenedEncoder {
  readonly runtime: Runtime;
  readonly encoder: Encoder;
}

/** How one runtime's results differ from another's, and how long both took. */
export interface RuntimeTrial {
  /** ‖theirs − ours‖ / ‖ours‖ of the features, and of the pixels' gradient. */
  readonly features: number;
  readonly gradient: number;
  /** Of features and gradient together, once both are warm. */
  readonly ourSeconds: number;
  readonly theirSeconds: number;
}

const defaultImages = 4;

/**
 * Computes features of images of noise, and the gradient of their pixels, with both.
 * @param images how many; in one call
 */
export async function tryRuntime(
  ours: OpenedEncoder,
  theirs: OpenedEncoder,
  images = defaultImages,
): Promise<RuntimeTrial> {
  const own = await results(ours, images);
  const other = await results(theirs, images);
  return {
    features: difference(other.features, own.features),
    gradient: difference(other.gradient, own.gradient),
    ourSeconds: own.seconds,
    theirSeconds: other.seconds,
  };
}

async function results({ runtime, encoder }: OpenedEncoder, count: number) {
  const [height, width] = encoder.preprocessing.crop;
  const chunked = await createChunkedEncoder(runtime, encoder, count, 1, Number.POSITIVE_INFINITY);
  try {
    const { batch } = chunked.plan;
    const random = seededRandom(0, "images of a trial");
    const images = Float32Array.from({ length: batch * 3 * height * width }, () => random.uniform());
    const cotangent = Float32Array.from({ length: batch * chunked.featureSize }, () => random.normal());
    let seconds = 0;
    let features = new Float32Array(0);
    let gradient = new Float32Array(0);
    // The first time memory is made, and kernels are.
    for (let run = 0; run < 2; run++) {
      const began = performance.now();
      features = Float32Array.from(await chunked.features(0, images));
      gradient = Float32Array.from(await chunked.pullback(0, images, cotangent));
      seconds = (performance.now() - began) / 1000;
    }
    return { features, gradient, seconds };
  } finally {
    await chunked.release();
  }
}

function difference(found: Float32Array, expected: Float32Array): number {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  return norm(found.map((v, i) => v - expected[i]!)) / norm(expected);
}
