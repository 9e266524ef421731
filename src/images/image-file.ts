import { readBounded } from "../files/read-bounded.ts";
import { isBitmap } from "./bitmap.ts";
import { mostImageBytes } from "./decode.ts";
import { isNetpbm } from "./netpbm.ts";
import { isSvg } from "./svg-pictures.ts";

/** What is no longer is read whatever it begins with: the decoder says what is wrong with it. */
const shortBytes = 16 * 2 ** 20;

/** How files of the formats that are read begin, in hexadecimal; `.` stands for any digit. */
const beginnings = /^(ffd8ff|89504e47|47494638|52494646|49492[ab]00|4d4d002[ab]|........66747970)/;

/**
 * The bytes of an image's file. A long one is looked at before it is read: what is not an image may have any size.
 * @throws Error saying what is wrong
 */
export const readImageFile = (path: string): Promise<Buffer> =>
  readBounded(path, mostImageBytes, requireImage);

function requireImage(head: Uint8Array, size: number): void {
  if (size <= shortBytes || isBitmap(head) || isNetpbm(head) || isSvg(head)) return;
  if (beginnings.test(Buffer.from(head.subarray(0, 12)).toString("hex"))) return;
  throw new Error(`it has ${size} bytes and does not begin as an image does`);
}
