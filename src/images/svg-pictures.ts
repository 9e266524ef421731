/** Pictures inside SVG documents, whose size is looked at before they are drawn: a kilobyte can hold 900 million pixels. */

/** Whether bytes are an SVG document or another text that begins with a tag, whatever they are called. */
export const isSvg = (bytes: Uint8Array): boolean =>
  (bytes[0] === 0x1f && bytes[1] === 0x8b) ||
  /^(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*</.test(Buffer.from(bytes.subarray(0, 64)).toString("latin1"));

/**
 * Throws where the pictures in a document's `data:` addresses have more than `maxPixels` pixels together, or where there
 * is a document among them: its own pictures would not be seen.
 */
export async function requireSmallPictures(bytes: Uint8Array, maxPixels: number): Promise<void> {
  if (bytes[0] === 0x1f) throw new Error("it is compressed; unpack it (gunzip) to an .svg file");
  const text = withoutReferences(textOf(bytes));
  const sharp = (await import("sharp")).default;
  let pixels = 0;
  for (const [, head, body] of text.matchAll(/data:([^,"'<>()]*),([^"'<>()]*)/gi)) {
    const isText = !/;\s*base64/i.test(head!);
    const picture = isText
      ? Buffer.from(unescaped(body!), "latin1")
      : Buffer.from(unescaped(body!).replace(/\s+/g, ""), "base64");
    if (!/image\//i.test(head!) && picture.length < 24) continue;
    const known = await sharp(picture, { limitInputPixels: false })
      .metadata()
      .catch(() => undefined);
    // What cannot be read here is not drawn either: fonts and style sheets.
    if (known === undefined) continue;
    if (known.format === "svg") throw new Error("an SVG document in it is given as a data: address");
    pixels += known.width * known.height;
    if (pixels > maxPixels) throw new Error(`exceeds the pixel limit: its pictures have ${pixels} pixels`);
  }
}

function textOf(bytes: Uint8Array): string {
  const wide =
    bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe ? "utf-16be" : "latin1";
  return new TextDecoder(wide).decode(bytes);
}

/** Characters that are written as numbers, as themselves: an address may be hidden so. */
const withoutReferences = (text: string): string =>
  text.replace(/&#(?:x([0-9a-f]{1,6})|(\d{1,7}));/gi, (whole, hex?: string, decimal?: string) => {
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

const unescaped = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
