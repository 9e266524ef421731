import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { decodeImage } from "../../src/images/decode.ts";

const folder = new URL("../fixtures/formats/", import.meta.url);
const fixture = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
interface Entry {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}
const entries = JSON.parse(readFileSync(new URL("index.json", folder), "utf8")) as Entry[];
const decode = (bytes: Uint8Array, kind: "raster" | "svg" = "raster") =>
  decodeImage("image", bytes, kind === "svg" ? { kind, fixed: false } : { kind });

// Made by tools/make_format_fixtures.py: Pillow's convert("RGB") of each file.
describe("formats that are decoded as Pillow does", () => {
  it.each(entries.map((entry) => [entry.name, entry] as const))("%s", async (name, { width, height }) => {
    const image = await decode(fixture(name));
    expect([image.width, image.height]).toEqual([width, height]);
    expect(Buffer.from(image.data).equals(fixture(`${name}.rgb`))).toBe(true);
  });

  it("cut short at any byte are refused, or have all their pixels", async () => {
    for (const { name, width, height } of entries.filter((entry) => !/runs|jpg/.test(entry.name))) {
      const whole = fixture(name);
      for (let length = 0; length < whole.length - 3; length += 7) {
        const outcome = await decode(whole.subarray(0, length)).catch((error: unknown) => error);
        if (outcome instanceof DataError) continue;
        expect(outcome, `${name} at ${length}`).toMatchObject({ width, height });
        expect((outcome as { data: Uint8Array }).data.length).toBe(3 * width * height);
      }
    }
  });
});

describe("images that claim more than they hold", () => {
  const fault = (name: string) =>
    new Uint8Array(readFileSync(new URL(`../fixtures/faults/images/${name}`, import.meta.url)));

  it.each(["ppm.png", "header-2g.png"])("are refused from their header: %s", async (name) => {
    await expect(decode(fault(name))).rejects.toThrow(DataError);
  });

  it("are refused as a bitmap whose header alone is there", async () => {
    const head = fixture("rgb.bmp").slice(0, 54);
    new DataView(head.buffer).setInt32(18, 2 ** 31 - 1, true);
    await expect(decode(head)).rejects.toThrow(/more than 128 million pixels/);
    new DataView(head.buffer).setInt32(18, 5000, true);
    new DataView(head.buffer).setInt32(22, 5000, true);
    await expect(decode(head)).rejects.toThrow(/cut short/);
  });

  it.each(["data-uri-bomb.svg", "huge.svg", "laughs.svg", "xxe.svg"])(
    "are refused as a drawing: %s",
    async (name) => {
      await expect(decode(fault(name), "svg")).rejects.toThrow(DataError);
    },
  );

  it("are given up where drawing them takes more than five seconds, and what comes after is drawn", async () => {
    const start = performance.now();
    await expect(decode(fault("filter-bomb.svg"), "svg")).rejects.toThrow(/takes more than 5 seconds/);
    expect(performance.now() - start).toBeLessThan(15_000);
    const plain =
      '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><defs><rect id="r" width="4" height="4" fill="#010203"/></defs><use href="#r"/></svg>';
    const image = await decode(new TextEncoder().encode(plain), "svg");
    expect([...image.data]).toEqual(Array.from({ length: 16 }, () => [1, 2, 3]).flat());
  }, 30_000);

  it("are seen where their address hides behind references and line breaks", async () => {
    const text = readFileSync(
      new URL("../fixtures/faults/images/data-uri-bomb.svg", import.meta.url),
      "utf8",
    );
    const hidden = text.replace("data:image", "&#x64;a&#116;a:image").replace("iVBOR", "iVB\n OR");
    expect(hidden).not.toBe(text);
    await expect(decode(new TextEncoder().encode(hidden), "svg")).rejects.toThrow(/128 million pixels/);
  });
});
