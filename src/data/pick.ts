import { decodeImage, decodeOptionsFor } from "../images/decode.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import type { ImageSource, Split } from "./image-source.ts";

/**
 * The given images of a split as an encoder sees them, [n, 3, H, W] in [0, 1]: real images that become part of
 * a synthetic set (initialization, baselines).
 * @throws DataError when one of them cannot be read
 */
export async function pickImages(
  source: ImageSource,
  split: Split,
  indices: ArrayLike<number>,
  preprocessing: Preprocessing,
): Promise<Float32Array> {
  const images = source.images(split);
  const size = inputBytes(preprocessing);
  const out = new Float32Array(indices.length * size);
  for (let i = 0; i < indices.length; i++) {
    const item = images.at(indices[i]);
    const decoded = await decodeImage(
      item.id,
      await item.open(),
      item.encoding,
      decodeOptionsFor(preprocessing),
    );
    const pixels = preprocess(decoded, preprocessing);
    for (let p = 0; p < size; p++) out[i * size + p] = pixels[p] / 255;
  }
  return out;
}
