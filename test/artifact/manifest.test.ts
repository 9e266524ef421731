import fc from "fast-check";
import { expect, test } from "vitest";
import { classFolderNames } from "../../src/artifact/class-folders.ts";
import { Manifest, parseManifest } from "../../src/artifact/manifest.ts";
import { DataError } from "../../src/errors.ts";
import { sampleManifest } from "../support/artifact-content.ts";

const whole = { ...sampleManifest(), folders: ["cat", "dog", "owl"], files: { "README.md": "0".repeat(64) } };
const parse = (value: unknown) => parseManifest(JSON.stringify(value), "out/manifest.json");

test("a manifest survives JSON", () => {
  expect(parse(whole)).toEqual(whole);
  expect(Manifest.parse(whole)).toEqual(whole);
});

test("a manifest of a version that fitted no temperature is read", () => {
  const { calibration: _, ...probe } = whole.probe;
  expect(parse({ ...whole, probe }).probe).toEqual(probe);
});

test("a manifest that spells the license as earlier versions did is read", () => {
  const { license, ...encoder } = { ...whole.encoder, license: "Apache-2.0" };
  const { licenses, ...data } = whole.data;
  const former = {
    ...whole,
    encoder: { ...encoder, licence: license },
    data: { ...data, licences: licenses },
  };
  expect(parse(former)).toEqual({ ...whole, encoder: { ...encoder, license } });
});

test("another version and a damaged manifest are refused with the file and the reason", () => {
  expect(() => parse({ ...whole, schemaVersion: 2 })).toThrow(
    /out\/manifest\.json has schema version 2; this version of clp-dd reads 1/,
  );
  expect(() => parse([])).toThrow(/schema version undefined/);
  expect(() => parse(null)).toThrow(DataError);
  expect(() => parseManifest('{"schemaVersion": 1', "out/manifest.json")).toThrow(/is not JSON/);
  expect(() => parse({ ...whole, seconds: "long" })).toThrow(/out\/manifest\.json is damaged: .*\n.*seconds/);
});

test.each(["../x", "a/../../x", "/etc/passwd", "..", "a/..", "./x", "C:/x", "a\\b", "a\0b", ""])(
  "the path %j, which could leave the folder, is refused",
  (path) => {
    expect(() => parse({ ...whole, files: { [path]: "0".repeat(64) } })).toThrow(DataError);
    expect(() => parse({ ...whole, folders: [path, "b", "c"] })).toThrow(DataError);
  },
);

test("class names become folder names that any file system takes", () => {
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

test("folder names never collide, leave the folder or grow too long", () => {
  const name = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.string({ unit: fc.constantFrom("a", "A", "/", ".", " ", "é", "e\u0301", "文", "🐈"), maxLength: 4 }),
    fc.constantFrom("nul", "NUL", "a (2)", "a", "A"),
  );
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 12 }), (classes) => {
      const folders = classFolderNames(classes);
      expect(new Set(folders.map((folder) => folder.normalize("NFC").toLowerCase())).size).toBe(
        classes.length,
      );
      for (const folder of folders) {
        expect(folder).not.toMatch(/[/\\\p{Cc}:*?"<>|]|^\.|[. ]$/u);
        expect(Buffer.byteLength(folder)).toBeLessThan(240);
      }
      expect(parse({ ...whole, classes, folders }).folders).toEqual(folders);
    }),
  );
});
