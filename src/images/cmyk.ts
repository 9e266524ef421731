/** JPEG files of cyan, magenta, yellow and black, as Pillow makes them RGB. */

/** Of a JPEG file of four inks, whether Adobe's mark is in it; undefined for all other files. */
export function fourInks(bytes: Uint8Array): { readonly adobe: boolean } | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  let adobe = false;
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    // Fill bytes may stand before a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = bytes[at + 2]! * 256 + bytes[at + 3]!;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) return bytes[at + 9] === 4 ? { adobe } : undefined;
    if (marker === 0xee && String.fromCharCode(...bytes.subarray(at + 4, at + 9)) === "Adobe") adobe = true;
    if (marker === 0xda || length < 2) return undefined;
    at += 2 + length;
  }
  return undefined;
}

/**
 * Pillow's `convert("RGB")` of interleaved inks, 255 for full ink: (255 − K) − ink·(255 − K)/255, rounded.
 * @param inverted whether 0 stands for full ink instead
 */
export function inksToRgb(inks: Uint8Array, inverted: boolean): Uint8Array {
  const pixels = inks.length / 4;
  const data = new Uint8Array(3 * pixels);
  const flip = inverted ? 255 : 0;
  for (let i = 0; i < pixels; i++) {
    const light = 255 - (inks[4 * i + 3]! ^ flip);
    for (let c = 0; c < 3; c++) {
      const product = (inks[4 * i + c]! ^ flip) * light + 128;
      data[3 * i + c] = light - (((product >> 8) + product) >> 8);
    }
  }
  return data;
}
