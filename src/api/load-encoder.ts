/// <reference lib="esnext.disposable" preserve="true" />
import { requireSetEncoder, setEncoderParams } from "../artifact/encoder-of.ts";
import type { Artifact } from "../artifact/read-artifact.ts";
import type { SetEncoderOptions } from "../artifact/set-encoder-options.ts";
import type { CallOptions } from "../context.ts";
import type { Provenance } from "../encoder/encoder-model.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import { userHub } from "../files/hub/settings.ts";
import type { ImageLike } from "../images/input.ts";
import type { Preprocessing } from "../images/preprocess.ts";
import type { OpenedEncoder } from "../jobs/open-encoders.ts";
import { run } from "../jobs/worker/client.ts";
import type { Precision } from "../onnx-vjp/graph/device.ts";
import { type Matrix, matrix, shapeOf } from "../probe/matrix.ts";

/** A frozen encoder that runs in the worker. `await using` releases it at the end of a block. */
export interface LoadedEncoder extends AsyncDisposable {
  readonly provenance: Provenance;
  /** How images must be prepared: size, crop, interpolation. Mean and standard deviation are applied inside. */
  readonly preprocessing: Preprocessing;
  /** The feature tensor, how it is pooled, and why it was chosen. */
  readonly feature: { readonly tensor: string; readonly pool: string; readonly reason: string };
  /** d. */
  readonly featureSize: number;
  /** What its matrix products are computed in. */
  readonly precision: Precision;
  /**
   * Features n × d of images as a program has them: paths, bytes of image files, or pixels. They are decoded, resized
   * and cropped as the images of a data set.
   * @throws DataError naming an image that cannot be read; NumericalError when a feature is not finite
   */
  encode(images: readonly ImageLike[], options?: CallOptions): Promise<Matrix>;
  /**
   * Features n × d of planar RGB images n × 3 × H × W at the preprocessing's crop size: floats in [0, 1] or bytes in
   * [0, 255].
   * @throws RangeError for pixels that do not fill whole images; NumericalError when a feature is not finite
   */
  features(images: Float32Array | Uint8Array): Promise<Matrix>;
  /**
   * The vector–Jacobian product: the gradient of Σ cotangent ∘ features(images) with respect to the images,
   * n × 3 × H × W, for pixels in [0, 1].
   * @param cotangent n × d
   */
  pullback(images: Float32Array, cotangent: Matrix): Promise<Float32Array>;
  /** Frees the encoder's native memory. */
  release(): Promise<void>;
}

/** Where and how an encoder runs, and how it is read where it is named by itself. */
export type LoadEncoderOptions = Partial<Omit<EncoderParams, "encoder">>;

/**
 * Loads an encoder by a name ("efficientnet-lite0", "dinov2-base": those of `encoders()`), the id of a hub
 * repository ("owner/name", with `revision` and `dtype`), the path of a model's folder, or that of an .onnx file.
 * @throws ModelError when there is no such model, or it cannot be read or differentiated
 * @throws DownloadError when it would have to be fetched and cannot be
 */
export function loadEncoder(nameOrPath: string, options?: LoadEncoderOptions): Promise<LoadedEncoder>;
/**
 * Loads the encoder that a set was made with (of several the first, or the one that `encoder` names): the same weights, checked by their hash, the same feature and
 * preprocessing. The set's probe classifies its features. Features in half precision need `device` as well.
 * @throws ModelError when the encoder is not there, or is another one than the set's
 */
export function loadEncoder(set: Artifact, options?: SetEncoderOptions): Promise<LoadedEncoder>;
export async function loadEncoder(
  what: string | Artifact,
  options: LoadEncoderOptions & SetEncoderOptions = {},
): Promise<LoadedEncoder> {
  const hub = options.hub ?? userHub();
  if (typeof what === "string")
    return handleOf(await run("encoder.open", { ...options, hub, encoder: what }));
  const { manifest, folder } = what;
  const { made, params } = setEncoderParams(manifest, { ...options, hub });
  const opened = await run("encoder.open", params);
  const loaded = handleOf(opened);
  try {
    requireSetEncoder(opened, made, folder, params.encoder);
    return loaded;
  } catch (error) {
    await loaded.release();
    throw error;
  }
}

function handleOf({ handle, form: _, ...described }: OpenedEncoder): LoadedEncoder {
  const [height, width] = described.preprocessing.crop;
  const d = described.featureSize;
  const countOf = (images: ArrayLike<number>): number => {
    const count = images.length / (3 * height * width);
    if (Number.isInteger(count) && count > 0) return count;
    throw new RangeError(
      `${images.length} numbers do not fill images of 3 × ${height} × ${width}. Give n × 3 × ${height} × ${width}, ` +
        "or files and pixels of any size to encode().",
    );
  };
  const rows = (count: number, features: Float32Array) => matrix(count, d, Float64Array.from(features));
  let released: Promise<void> | undefined;
  const release = () => {
    released ??= run("encoder.release", { handle });
    return released;
  };
  return {
    ...described,
    async encode(images, options) {
      const sent = images.map(plain);
      return rows(sent.length, await run("encoder.encode", { handle, images: sent }, options));
    },
    async features(images) {
      const count = countOf(images);
      return rows(count, await run("encoder.features", { handle, images, count }));
    },
    async pullback(images, cotangent) {
      const count = countOf(images);
      if (cotangent.rows !== count || cotangent.cols !== d) {
        throw new RangeError(
          `the cotangent of ${count} images is ${count} × ${d}, got ${shapeOf(cotangent)}`,
        );
      }
      return run("encoder.pullback", {
        handle,
        images,
        cotangent: Float32Array.from(cotangent.data),
        count,
      });
    },
    release,
    [Symbol.asyncDispose]: release,
  };
}

/** What another thread can be sent: an ImageData has its fields on its prototype. */
export function plain(image: ImageLike): ImageLike {
  if (typeof image === "string" || image instanceof Uint8Array) return image;
  const { width, height, data } = image;
  return { width, height, data };
}
