import fc from "fast-check";
import { expect, test } from "vitest";
import { classFolderNames } from "../../src/artifact/class-folders.ts";
import { Manifest, parseManifest, requireHashes, sealManifest } from "../../src/artifact/manifest.ts";
import { DataError } from "../../src/errors.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { sampleManifest } from "../support/artifact-content.ts";

const whole = { ...sampleManifest(), folders: ["cat", "dog", "owl"], files: { "README.md": "0".repeat(64) } };
const read = (text: string) => parseManifest(text, "out/manifest.json", sha256OfText);
const parse = (value: unknown) => read(JSON.stringify(value));

test("a manifest survives JSON", async () => {
  expect(await parse(whole)).toEqual(whole);
  expect(Manifest.parse(whole)).toEqual(whole);
});

test("a manifest of a version that fitted no temperature is read", async () => {
  const { calibration: _, ...probe } = whole.probe;
  expect((await parse({ ...whole, probe })).probe).toEqual(probe);
});

test("a manifest that spells the license as earlier versions did is read", async () => {
  const { license, ...encoder } = { ...whole.encoder, license: "Apache-2.0" };
  const { licenses, ...data } = whole.data;
  const former = {
    ...whole,
    encoder: { ...encoder, licence: license },
    data: { ...data, licences: licenses },
  };
  expect(await parse(former)).toEqual({ ...whole, encoder: { ...encoder, license } });
});

test("another version and a damaged manifest are refused with the file and the reason", async () => {
  await expect(parse({ ...whole, schemaVersion: 2 })).rejects.toThrow(
    /out\/manifest\.json has schema version 2; this version of clp-dd reads 1/,
  );
  await expect(parse([])).rejects.toThrow(/schema version undefined/);
  await expect(parse(null)).rejects.toThrow(DataError);
  await expect(read('{"schemaVersion": 1')).rejects.toThrow(/is not JSON/);
  await expect(parse({ ...whole, seconds: "long" })).rejects.toThrow(
    /out\/manifest\.json is damaged: .*\n.*seconds/,
  );
});

test.each(["../x", "a/../../x", "/etc/passwd", "..", "a/..", "./x", "C:/x", "a\\b", "a\0b", ""])(
  "the path %j, which could leave the folder, is refused",
  async (path) => {
    await expect(parse({ ...whole, files: { [path]: "0".repeat(64) } })).rejects.toThrow(DataError);
    await expect(parse({ ...whole, folders: [path, "b", "c"] })).rejects.toThrow(DataError);
  },
);

test("a manifest of more images than files is refused before they are counted out", () => {
  const many = { ...whole, config: { ...whole.config, ipc: 1e9 } };
  expect(() => requireHashes(many, "out/manifest.json")).toThrow(
    /no hash of most of its 3000000000 images \(it lists 1 files\)/,
  );
});

test("a manifest is covered by the hash in it: no bit of its content can change unnoticed", async () => {
  const text = await sealManifest(whole, sha256OfText);
  expect(await read(text)).toEqual(whole);
  const spaces = /[ \t\r\n]+/g;
  const bytes = Buffer.from(text);
  for (let bit = 0; bit < 8 * bytes.length; bit += 5) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    const reading = read(changed.toString("utf8"));
    // Spaces between are no content.
    if (changed.toString("utf8").replace(spaces, "") === text.replace(spaces, ""))
      expect(await reading).toEqual(whole);
    else await expect(reading, `bit ${bit}`).rejects.toThrow(DataError);
  }
  const slower = text.replace('"seconds": 45.6', '"seconds": 45.7');
  await expect(read(slower)).rejects.toThrow(/its hash differs/);
});

test("a manifest without a hash is read, unless it says something that earlier versions do not", async () => {
  expect(await parse(whole)).toEqual(whole);
  await expect(parse({ ...whole, sha25: "0".repeat(64) })).rejects.toThrow(/sha25/);
});

test("class names become folder names that any file system takes", async () => {
  expect(classFolderNames(["Smileys & Emotion", "a/b", "a\\b", "..", "", "CON", "Tea.", "文字"])).toEqual([
    "Smileys & Emotion",
    "a_b",
    "a_b (2)",
    "class 3",
    "class 4",
    "_CON",
    "Tea",
    "文字",
  ]);
});

test("folder names never collide, leave the folder or grow too long", async () => {
  const name = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.string({ unit: fc.constantFrom("a", "A", "/", ".", " ", "é", "e\u0301", "文", "🐈"), maxLength: 4 }),
    fc.constantFrom("nul", "NUL", "a (2)", "a", "A"),
  );
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(name, { minLength: 1, maxLength: 12 }), async (classes) => {
      const folders = classFolderNames(classes);
      expect(new Set(folders.map((folder) => folder.normalize("NFC").toLowerCase())).size).toBe(
        classes.length,
      );
      for (const folder of folders) {
        expect(folder).not.toMatch(/[/\\\p{Cc}:*?"<>|]|^\.|[. ]$/u);
        expect(Buffer.byteLength(folder)).toBeLessThan(240);
      }
      expect((await parse({ ...whole, classes, folders })).folders).toEqual(folders);
    }),
  );
});
