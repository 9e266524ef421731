import { type ImageLike, isMarkup } from "../images/input.ts";
import { rgbOfPixels } from "../images/pixels.ts";
import type { Item } from "../images/types.ts";
import { fileItem } from "./file-item.ts";
import type { ImageSource } from "./image-source.ts";
import { imageList } from "./listed-source.ts";

/**
 * Images as a program has them, as a data set without labels: its one split is "test", every label 0. Whatever reads a
 * data set reads them, with its processes and its word on unreadable images.
 */
export function givenImages(images: readonly ImageLike[]): ImageSource {
  const list = imageList(new Int32Array(images.length), undefined, (index) => itemOf(images[index], index));
  return {
    name: "the images",
    classes: [],
    splits: ["test"],
    notes: [],
    images: () => list,
    fingerprint: async () => {
      throw new RangeError("images that were given one by one have no fingerprint");
    },
  };
}

/** What an image is called: its path, or its place. */
export const nameOfInput = (image: ImageLike, index: number): string =>
  typeof image === "string" ? image : `image ${index}`;

function itemOf(image: ImageLike, index: number): Item {
  const id = nameOfInput(image, index);
  if (typeof image === "string") return fileItem(id, image, 0);
  if (image instanceof Uint8Array) {
    const encoding = isMarkup(image)
      ? ({ kind: "svg", fixed: false } as const)
      : ({ kind: "raster" } as const);
    return { id, label: 0, encoding, open: async () => image };
  }
  const { width, height } = image;
  const encoding = { kind: "pixels", width, height, channels: 3, layout: "hwc" } as const;
  return { id, label: 0, encoding, open: async () => rgbOfPixels(image, index).data };
}
