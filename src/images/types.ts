/** How an item's bytes are to be read. */
export type Encoding =
  /** A JPEG, PNG, WebP, GIF, TIFF or AVIF file. */
  | { readonly kind: "raster" }
  /** An SVG document, drawn at the size it states (`fixed`) or at the size the encoder's preprocessing asks for. */
  | { readonly kind: "svg"; readonly fixed: boolean }
  /** Bare 8-bit pixels, as in CIFAR's and MNIST's files: interleaved (`hwc`) or planar (`chw`). */
  | {
      readonly kind: "pixels";
      readonly width: number;
      readonly height: number;
      readonly channels: 1 | 3;
      readonly layout: "hwc" | "chw";
    };

/** Where an item's bytes are when a file holds them just as they are: all of it, or `length` bytes at `start`. */
export interface FileRange {
  readonly path: string;
  readonly start?: number;
  readonly length?: number;
}

/** One labeled image, not read yet. */
export interface Item {
  /** Names the image to a person; unique in its split and the same on every machine. */
  readonly id: string;
  /** Index into the source's `classes`. */
  readonly label: number;
  readonly encoding: Encoding;
  /** Index of the group the image belongs to (worst-group accuracy), where the data set has groups. */
  readonly group?: number;
  /** Set where a decoding thread can read the bytes by itself, without `open`. */
  readonly file?: FileRange;
  /** The image's bytes, as `encoding` says. Throws DataError when they cannot be read. */
  open(): Promise<Uint8Array>;
}

/** An 8-bit RGB image: `data[(y * width + x) * 3 + channel]`, height × width × 3. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A rectangle of pixels. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Where `resample` writes: a planar image, 3 × height × width, and the place of the window in it. */
export interface Canvas {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
}
