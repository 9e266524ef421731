import { snappyUncompress } from "hyparquet";

/**
 * Unpacks a page that was packed with Snappy ("Snappy compressed format description", Google). Its elements are added up
 * first: one of five bytes can say to copy four thousand million.
 * @param length bytes that the page says to unpack to
 */
export function unpackSnappy(input: Uint8Array, length: number): Uint8Array {
  requireLength(input, length);
  const output = new Uint8Array(length);
  snappyUncompress(input, output);
  return output;
}

function requireLength(input: Uint8Array, length: number): void {
  let at = 0;
  // The whole length, which the page has said.
  while (at < input.length && input[at]! >= 128) at++;
  at++;
  let total = 0;
  while (at < input.length) {
    const tag = input[at++]!;
    const kind = tag & 3;
    let size = (tag >> 2) + 1;
    if (kind === 0) {
      if (size > 60) {
        const bytes = size - 60;
        size = 1;
        for (let i = 0; i < bytes; i++) size += (input[at + i] ?? 0) * 256 ** i;
        at += bytes;
      }
      at += size;
    } else if (kind === 1) {
      size = ((tag >> 2) & 7) + 4;
      at += 1;
    } else at += kind === 2 ? 2 : 4;
    total += size;
    if (total > length || at > input.length)
      throw new Error(`a page unpacks to more than the ${length} bytes that it says, or is cut short`);
  }
}
