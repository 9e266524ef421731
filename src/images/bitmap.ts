/**
 * Windows bitmaps (.bmp), as Pillow reads them: 1, 4, 8, 16, 24 and 32 bits a pixel, with and without run lengths;
 * alpha is dropped. The formats are those of BITMAPCOREHEADER to BITMAPV5HEADER (Microsoft, wingdi.h).
 */
import type { RgbImage } from "./types.ts";

const runLength8 = 1;
const runLength4 = 2;
const bitFields = 3;
const alphaBitFields = 6;

interface Header {
  readonly width: number;
  readonly height: number;
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Where the pixels begin. */
  readonly offset: number;
  /** Red, green, blue of each color, where pixels are indices. */
  readonly palette: Uint8Array;
  /** Bits of red, green and blue in a pixel of 16 or 32 bits. */
  readonly masks: readonly [number, number, number];
}

export const isBitmap = (bytes: Uint8Array): boolean =>
  bytes.length > 26 &&
  bytes[0] === 0x42 &&
  bytes[1] === 0x4d &&
  [12, 40, 52, 56, 64, 108, 124].includes(bytes[14]);

/** Throws when the bytes are no bitmap that is read here, are cut short, or have more than `maxPixels` pixels. */
export function decodeBitmap(bytes: Uint8Array, maxPixels: number): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = headerOf(view, maxPixels);
  const { width, height, bits, compression } = header;
  const runs = compression === runLength8 || compression === runLength4;
  if (bits <= 8) {
    const indices = runs ? unpackRuns(bytes, header) : unpackIndices(bytes, header);
    return { width, height, data: colored(indices, header.palette) };
  }
  return { width, height, data: unpackPixels(view, header) };
}

function headerOf(view: DataView, maxPixels: number): Header {
  const size = view.getUint32(14, true);
  const old = size === 12;
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const signed = old ? view.getUint16(20, true) : view.getInt32(22, true);
  const height = Math.abs(signed);
  if (!(width > 0 && height > 0)) throw new Error(`its size is ${width} × ${signed}`);
  if (width * height > maxPixels) throw new Error(`exceeds the pixel limit: ${width} × ${height}`);
  const bits = view.getUint16(old ? 24 : 28, true);
  const compression = old ? 0 : view.getUint32(30, true);
  const fits =
    compression === 0
      ? [1, 4, 8, 16, 24, 32].includes(bits)
      : compression === runLength8
        ? bits === 8
        : compression === runLength4
          ? bits === 4
          : (compression === bitFields || compression === alphaBitFields) && (bits === 16 || bits === 32);
  if (!fits) throw new Error(`bitmaps of ${bits} bits with compression ${compression} are not read here`);
  const masked = compression === bitFields || compression === alphaBitFields;
  const masks: [number, number, number] = masked
    ? [view.getUint32(54, true), view.getUint32(58, true), view.getUint32(62, true)]
    : bits === 16
      ? [0x7c00, 0x3e0, 0x1f]
      : [0xff0000, 0xff00, 0xff];
  const palette = bits <= 8 ? paletteOf(view, size, bits) : new Uint8Array();
  const offset = view.getUint32(10, true);
  // Runs may leave pixels out; all others take their bits.
  if (bits > 8 || compression === 0) {
    const needed = rowBytes(width, bits) * height;
    if (offset + needed > view.byteLength)
      throw new Error(
        `it is cut short: its pixels need ${needed} bytes from ${offset}, it has ${view.byteLength}`,
      );
  } else if (width * height > 255 * view.byteLength) {
    throw new Error(`it says to have ${width} × ${height} pixels in ${view.byteLength} bytes`);
  }
  return { width, height, topDown: signed < 0, bits, compression, offset, palette, masks };
}

function paletteOf(view: DataView, size: number, bits: number): Uint8Array {
  const old = size === 12;
  const most = 1 << bits;
  const said = old ? 0 : view.getUint32(46, true);
  const colors = said === 0 ? most : Math.min(said, most);
  const entry = old ? 3 : 4;
  const palette = new Uint8Array(3 * most);
  for (let i = 0; i < colors; i++) {
    const at = 14 + size + i * entry;
    for (let c = 0; c < 3; c++) palette[3 * i + c] = view.getUint8(at + 2 - c);
  }
  return palette;
}

/** A row's bytes: whole groups of four. */
const rowBytes = (width: number, bits: number): number => 4 * Math.ceil((width * bits) / 32);

/** Calls `each` for every row from the image's top: where its pixels go, and where its bytes begin. */
function eachRow(
  { width, height, topDown, bits, offset }: Header,
  each: (to: number, at: number) => void,
): void {
  for (let y = 0; y < height; y++)
    each(y * width, offset + (topDown ? y : height - 1 - y) * rowBytes(width, bits));
}

function unpackIndices(bytes: Uint8Array, header: Header): Uint8Array {
  const { width, height, bits } = header;
  const out = new Uint8Array(width * height);
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  eachRow(header, (to, at) => {
    for (let x = 0; x < width; x++) {
      const byte = bytes[at + Math.floor(x / perByte)];
      out[to + x] = (byte >> (8 - bits - (x % perByte) * bits)) & mask;
    }
  });
  return out;
}

/** Runs of equal indices, and stretches of others; what they leave out has the index 0. */
function unpackRuns(bytes: Uint8Array, { width, height, topDown, bits, offset }: Header): Uint8Array {
  const out = new Uint8Array(width * height);
  let [x, y] = [0, 0];
  const put = (index: number) => {
    if (x < width && y < height) out[(topDown ? y : height - 1 - y) * width + x] = index;
    x++;
  };
  /** The index at place i of bytes from `at`, of 8 bits or 4. */
  const indexAt = (at: number, i: number) =>
    bits === 8 ? bytes[at + i] : (bytes[at + (i >> 1)] >> (i % 2 === 0 ? 4 : 0)) & 15;
  for (let at = offset; at + 1 < bytes.length && y < height; ) {
    const [count, value] = [bytes[at], bytes[at + 1]];
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(bits === 8 ? value : (value >> (i % 2 === 0 ? 4 : 0)) & 15);
    } else if (value === 0) [x, y] = [0, y + 1];
    else if (value === 1) break;
    else if (value === 2) {
      x += bytes[at] ?? 0;
      y += bytes[at + 1] ?? 0;
      at += 2;
    } else {
      const length = bits === 8 ? value : Math.ceil(value / 2);
      if (at + length > bytes.length) throw new Error("it is cut short within its pixels");
      for (let i = 0; i < value; i++) put(indexAt(at, i));
      at += length + (length % 2);
    }
  }
  return out;
}

function colored(indices: Uint8Array, palette: Uint8Array): Uint8Array {
  const data = new Uint8Array(3 * indices.length);
  for (let i = 0; i < indices.length; i++)
    for (let c = 0; c < 3; c++) data[3 * i + c] = palette[3 * indices[i]! + c];
  return data;
}

function unpackPixels(view: DataView, header: Header): Uint8Array {
  const { width, height, bits, masks } = header;
  const data = new Uint8Array(3 * width * height);
  const channels = masks.map((mask) => {
    const low = mask & -mask;
    return { mask, low, most: (mask >>> 0) / (low >>> 0) };
  });
  eachRow(header, (to, at) => {
    for (let x = 0; x < width; x++) {
      const out = 3 * (to + x);
      if (bits === 24) {
        for (let c = 0; c < 3; c++) data[out + c] = view.getUint8(at + 3 * x + 2 - c);
        continue;
      }
      const pixel = bits === 16 ? view.getUint16(at + 2 * x, true) : view.getUint32(at + 4 * x, true);
      for (const [c, { mask, low, most }] of channels.entries()) {
        const value = mask === 0 ? 0 : ((pixel & mask) >>> 0) / (low >>> 0);
        // Pillow cuts off what 5 and 6 bits leave of a level.
        data[out + c] = mask === 0 ? 0 : Math.trunc((value * 255) / most);
      }
    }
  });
  return data;
}
