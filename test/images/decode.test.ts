import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { decodeImage, decodeOptionsFor } from "../../src/images/decode.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import type { RgbImage } from "../../src/images/types.ts";

const raster = { kind: "raster" } as const;
const decode = (bytes: Uint8Array, options = {}) => decodeImage("the image", bytes, raster, options);
const pixel = (image: RgbImage, x: number, y: number) => [
  ...image.data.subarray((y * image.width + x) * 3, (y * image.width + x) * 3 + 3),
];
/** The largest difference of a channel. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}

/** A smooth picture, so that lossy formats stay close: 64 × 48. */
const width = 64;
const height = 48;
const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
  const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
  return [40 + 3 * x, 30 + 4 * y, 200 - x - 2 * y][i % 3];
});
const picture = () => sharp(data, { raw: { width, height, channels: 3 } });
let jpeg: Uint8Array;
let png: Uint8Array;
beforeAll(async () => {
  jpeg = await picture().jpeg({ quality: 95 }).toBuffer();
  png = await picture().png().toBuffer();
});

describe("decoding", () => {
  it("gives a lossless image back as it was", async () => {
    for (const bytes of [png, await picture().webp({ lossless: true }).toBuffer()]) {
      const image = await decode(bytes);
      expect([image.width, image.height]).toEqual([width, height]);
      expect(distance(image.data, data)).toBe(0);
    }
    const tiff = await picture().tiff({ compression: "lzw" }).toBuffer();
    expect(distance((await decode(tiff)).data, data)).toBe(0);
  });

  it("gives a smaller image where fewer pixels suffice, with its aspect, turned as it says", async () => {
    for (const bytes of [jpeg, png]) {
      const image = await decode(bytes, { enough: 12 });
      expect([image.width, image.height]).toEqual([16, 12]);
      // The mean of a block of 4 × 4 is that of the slope in its middle.
      const middle = pixel(image, 8, 6).map(
        (value, k) => value - [40 + 3 * 33.5, 30 + 4 * 25.5, 200 - 33.5 - 51][k],
      );
      expect(Math.max(...middle.map(Math.abs))).toBeLessThan(6);
    }
    const turned = await picture().withMetadata({ orientation: 6 }).jpeg({ quality: 95 }).toBuffer();
    const image = await decode(turned, { enough: 12 });
    expect([image.width, image.height]).toEqual([12, 16]);
    expect((await decode(png, { enough: 1000 })).width).toBe(width);
  });

  it.each([
    ["JPEG", () => picture().jpeg({ quality: 95, chromaSubsampling: "4:4:4" })],
    ["AVIF", () => picture().avif({ quality: 90, chromaSubsampling: "4:4:4" })],
    ["a 16-bit PNG", () => picture().toColourspace("rgb16").png()],
    ["a palette PNG", () => picture().png({ palette: true, colours: 256, dither: 0, effort: 10 })],
  ])("gives %s back nearly as it was", async (_, encode) => {
    const image = await decode(await encode().toBuffer());
    expect(distance(image.data, data)).toBeLessThan(20);
    const error = image.data.reduce((sum, value, i) => sum + Math.abs(value - data[i]), 0) / data.length;
    expect(error).toBeLessThan(3);
  });

  it("gives a JPEG the pixels that Pillow gives it", async () => {
    const folder = new URL("../fixtures/resize/", import.meta.url);
    const image = await decode(await readFile(new URL("decoded.jpg", folder)));
    expect([image.width, image.height]).toEqual([61, 45]);
    expect(distance(image.data, gunzipSync(await readFile(new URL("decoded.bin.gz", folder))))).toBe(0);
  });

  it("keeps the high byte of 16-bit grayscale and repeats it for the three channels", async () => {
    const wide = new Uint16Array([0, 0x1234, 0x8000, 0xffff]);
    const bytes = await sharp(wide, { raw: { width: 4, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect((await sharp(bytes).metadata()).depth).toBe("ushort");
    const image = await decode(bytes);
    for (const [x, value] of [0, 0x12, 0x80, 0xff].entries())
      expect(pixel(image, x, 0)).toEqual([value, value, value]);
  });

  it("turns CMYK into RGB", async () => {
    const red = sharp({ create: { width: 16, height: 16, channels: 3, background: "#e02010" } });
    const bytes = await red.toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe("cmyk");
    const image = await decode(bytes);
    expect(image.data).toHaveLength(16 * 16 * 3);
    const [r, g, b] = pixel(image, 8, 8);
    // A press cannot print this red exactly; it must still be a red.
    expect(r).toBeGreaterThan(180);
    expect(g).toBeLessThan(90);
    expect(b).toBeLessThan(90);
  });

  it("lays transparency on white", async () => {
    const background = { r: 200, g: 0, b: 100, alpha: 0.5 };
    const bytes = await sharp({ create: { width: 2, height: 2, channels: 4, background } })
      .png()
      .toBuffer();
    expect(distance(pixel(await decode(bytes), 0, 0), [228, 128, 178])).toBeLessThanOrEqual(1);
  });

  it("turns an image as its EXIF orientation says", async () => {
    // Orientation 6: the first row of the file is the right column of the picture.
    const bytes = await picture().withMetadata({ orientation: 6 }).png().toBuffer();
    const image = await decode(bytes);
    expect([image.width, image.height]).toEqual([height, width]);
    expect(pixel(image, height - 1, 0)).toEqual([...data.subarray(0, 3)]);
  });

  it.each(["gif", "webp"] as const)("takes the first frame of an animated %s", async (format) => {
    const frames = await Promise.all(
      ["#c00000", "#00c000", "#0000c0"].map((background) =>
        sharp({ create: { width: 8, height: 6, channels: 3, background } })
          .png()
          .toBuffer(),
      ),
    );
    const bytes = await sharp(frames, { join: { animated: true } })
      [format]({ loop: 0 })
      .toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(3);
    const image = await decode(bytes);
    expect([image.width, image.height]).toEqual([8, 6]);
    expect(distance(pixel(image, 4, 3), [192, 0, 0])).toBeLessThan(6);
  });

  it("ignores the color profile of an RGB image", async () => {
    const bytes = await picture().png().withIccProfile("p3").toBuffer();
    const bare = await sharp(bytes, { ignoreIcc: true }).raw().toBuffer();
    expect(distance((await decode(bytes)).data, bare)).toBe(0);
  });
});

describe("an image that cannot be used", () => {
  it.each([
    ["a truncated JPEG", () => jpeg.subarray(0, jpeg.length / 2)],
    ["a truncated PNG", () => png.subarray(0, png.length / 2)],
    ["a PNG with a flipped byte", () => png.map((byte, i) => (i === png.length >> 1 ? byte ^ 255 : byte))],
    ["an empty file", () => new Uint8Array(0)],
    ["a text file", () => new TextEncoder().encode("this is no image")],
  ])("is refused with its name: %s", async (_, make) => {
    const decoding = decode(make());
    await expect(decoding).rejects.toBeInstanceOf(DataError);
    await expect(decoding).rejects.toThrow(/^the image cannot be decoded: .+ Replace or remove it/);
  });

  it("is refused before memory is taken when it has too many pixels", async () => {
    await expect(decode(png, { maxPixels: 3000 })).rejects.toThrow(/more than 0\.003 million pixels/);
    await expect(decode(png, { maxPixels: 3072 })).resolves.toMatchObject({ width: 64 });
  });
});

describe("an SVG", () => {
  const half = (size: string) =>
    new TextEncoder().encode(
      `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 10 20"><rect width="5" height="20" fill="#0000ff"/></svg>`,
    );

  it("is drawn on white with its shorter edge at the size asked for", async () => {
    const encoding = { kind: "svg", fixed: false } as const;
    for (const size of ['width="10" height="20"', ""]) {
      const image = await decodeImage("x", half(size), encoding, { svgEdge: 64 });
      expect([image.width, image.height]).toEqual([64, 128]);
      expect(pixel(image, 10, 64)).toEqual([0, 0, 255]);
      expect(pixel(image, 50, 64)).toEqual([255, 255, 255]);
    }
  });

  it("is drawn at its own size where that is fixed", async () => {
    const encoding = { kind: "svg", fixed: true } as const;
    const image = await decodeImage("x", half('width="30" height="60"'), encoding, { svgEdge: 64 });
    expect([image.width, image.height]).toEqual([30, 60]);
  });

  it("is refused with its name when it is broken or far too long", async () => {
    const encoding = { kind: "svg", fixed: false } as const;
    const broken = new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9"><rect');
    await expect(decodeImage("b.svg", broken, encoding)).rejects.toThrow(/^b\.svg cannot be decoded/);
    const long = new TextEncoder().encode(
      '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="30000"/>',
    );
    await expect(decodeImage("l.svg", long, encoding, { svgEdge: 224 })).rejects.toThrow(/million pixels/);
  });

  it("does not read other files", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clp-svg-"));
    const file = join(folder, "red.png");
    await writeFile(
      file,
      await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
        .png()
        .toBuffer(),
    );
    const svg = new TextEncoder().encode(
      `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><image href="${pathToFileURL(file)}" width="8" height="8"/></svg>`,
    );
    const image = await decodeImage("x", svg, { kind: "svg", fixed: true });
    await rm(folder, { recursive: true });
    expect(new Set(image.data)).toEqual(new Set([255]));
  });
});

describe("bare pixels", () => {
  it("are read interleaved, planar and gray", async () => {
    const make = (channels: 1 | 3, layout: "hwc" | "chw") =>
      ({ kind: "pixels", width: 2, height: 1, channels, layout }) as const;
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    expect([...(await decodeImage("x", bytes, make(3, "hwc"))).data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...(await decodeImage("x", bytes, make(3, "chw"))).data]).toEqual([1, 3, 5, 2, 4, 6]);
    expect([...(await decodeImage("x", bytes.subarray(0, 2), make(1, "hwc"))).data]).toEqual([
      1, 1, 1, 2, 2, 2,
    ]);
    await expect(decodeImage("x", bytes, make(1, "hwc"))).rejects.toThrow(/x should have 2 bytes.*has 6/);
  });
});

describe("decoding for a preprocessing", () => {
  const constants = { mean: [0, 0, 0], std: [1, 1, 1] };

  it("reads photos whole, however small they become later", async () => {
    const preprocessing = Preprocessing.parse({
      resize: 32,
      crop: [28, 28],
      interpolation: "bilinear",
      ...constants,
    });
    const large = await picture().resize(640, 480).jpeg().toBuffer();
    const image = await decode(large, decodeOptionsFor(preprocessing));
    expect([image.width, image.height]).toEqual([640, 480]);
  });

  it("draws an SVG at the size that the preprocessing resizes to", () => {
    const edge = (resize: unknown, crop: [number, number]) =>
      decodeOptionsFor(Preprocessing.parse({ resize, crop, interpolation: "bicubic", ...constants })).svgEdge;
    expect(edge(256, [224, 224])).toBe(256);
    expect(edge([48, 320], [48, 320])).toBe(320);
    expect(edge(null, [32, 40])).toBe(40);
  });
});
