/** Images of cyan, magenta, yellow and black, as Pillow makes them RGB. */

/** Whether bytes are a JPEG file of four components. */
export function isFourInkJpeg(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return false;
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return false;
    const marker = bytes[at + 1];
    // Fill bytes may stand before a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) return bytes[at + 9] === 4;
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    if (marker === 0xda || length < 2) return false;
    at += 2 + length;
  }
  return false;
}

/** Whether bytes begin as a TIFF file's do. */
export const isTiff = (bytes: Uint8Array): boolean =>
  (bytes[0] === 0x49 && bytes[1] === 0x49 && bytes[2] === 42) ||
  (bytes[0] === 0x4d && bytes[1] === 0x4d && bytes[3] === 42);

/** Pillow's `convert("RGB")` of interleaved inks, 255 for full ink: (255 − K) − ink·(255 − K)/255, rounded. */
export function inksToRgb(inks: Uint8Array): Uint8Array {
  const pixels = inks.length / 4;
  const data = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    const light = 255 - inks[4 * i + 3];
    for (let c = 0; c < 3; c++) {
      const product = inks[4 * i + c] * light + 128;
      data[3 * i + c] = light - (((product >> 8) + product) >> 8);
    }
  }
  return data;
}
