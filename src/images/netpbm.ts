/** Netpbm's images (.pbm, .pgm, .ppm), as text and as bytes, of 1 to 65,535 levels. */
import type { RgbImage } from "./types.ts";

/** "P1" to "P6" and white space behind it. */
export const isNetpbm = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x50 && bytes[1] >= 0x31 && bytes[1] <= 0x36 && isSpace(bytes[2]);

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);
const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;

/** Throws when the bytes are no image of these, are cut short, or have more than `maxPixels` pixels. */
export function decodeNetpbm(bytes: Uint8Array, maxPixels: number): RgbImage {
  const kind = bytes[1] - 0x30;
  const reader = { bytes, at: 2 };
  const width = numberOf(reader);
  const height = numberOf(reader);
  const bitmap = kind === 1 || kind === 4;
  const most = bitmap ? 1 : numberOf(reader);
  if (!(width > 0 && height > 0)) throw new Error(`its size is ${width} × ${height}`);
  if (width * height > maxPixels) throw new Error(`exceeds the pixel limit: ${width} × ${height}`);
  if (!(most > 0 && most < 65_536)) throw new Error(`it says to have ${most} levels`);
  const channels = kind === 3 || kind === 6 ? 3 : 1;
  const count = width * height * channels;
  // As text a sample takes a character at least.
  const needed =
    kind <= 3 ? count : kind === 4 ? Math.ceil(width / 8) * height : count * (most > 255 ? 2 : 1);
  if (needed > bytes.length - reader.at)
    throw new Error(`it is cut short: its pixels need ${needed} bytes, ${bytes.length - reader.at} are left`);
  const data = new Uint8Array(3 * width * height);
  const sample = sampler(reader, kind, width, most);
  const level = (value: number): number => {
    if (value > most) throw new Error(`it has a sample of ${value}, of ${most} at most`);
    return bitmap ? 255 * (1 - value) : most === 255 ? value : roundHalfEven((value / most) * 255);
  };
  for (let i = 0; i < count; i++) {
    const value = level(sample(i));
    if (channels === 3) data[i] = value;
    else data.fill(value, 3 * i, 3 * i + 3);
  }
  return { width, height, data };
}

/** As Python rounds, and so Pillow. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/** Sample i, asked for in order. */
function sampler(reader: Reader, kind: number, width: number, most: number): (i: number) => number {
  const { bytes } = reader;
  if (kind === 1) return () => bitOf(reader);
  if (kind <= 3) return () => numberOf(reader);
  // One character stands between the header and the pixels.
  const start = reader.at + 1;
  if (kind === 4) {
    const row = Math.ceil(width / 8);
    return (i) => {
      const x = i % width;
      return (bytes[start + Math.floor(i / width) * row + (x >> 3)] >> (7 - (x & 7))) & 1;
    };
  }
  return most > 255 ? (i) => bytes[start + 2 * i] * 256 + bytes[start + 2 * i + 1] : (i) => bytes[start + i];
}

/** Passes over white space and comments, which run to the end of their line. */
function skip(reader: Reader): void {
  const { bytes } = reader;
  for (;;) {
    if (bytes[reader.at] === 0x23) {
      while (reader.at < bytes.length && bytes[reader.at] !== 10 && bytes[reader.at] !== 13) reader.at++;
    } else if (isSpace(bytes[reader.at])) reader.at++;
    else return;
  }
}

function numberOf(reader: Reader): number {
  skip(reader);
  let value = 0;
  const start = reader.at;
  while (isDigit(reader.bytes[reader.at]) && reader.at - start < 10) {
    value = 10 * value + reader.bytes[reader.at++] - 0x30;
  }
  if (reader.at === start) throw new Error(`it has no number at byte ${start}`);
  return value;
}

/** Bits as text may follow each other without a space. */
function bitOf(reader: Reader): number {
  skip(reader);
  const byte = reader.bytes[reader.at++];
  if (byte !== 0x30 && byte !== 0x31) throw new Error(`it has no bit at byte ${reader.at - 1}`);
  return byte - 0x30;
}
