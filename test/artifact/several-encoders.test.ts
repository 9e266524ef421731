import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { setEncoderParams } from "../../src/artifact/encoder-of.ts";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { writeArtifact } from "../../src/artifact/write-artifact.ts";
import { DataError, UsageError } from "../../src/errors.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { sampleContent } from "../support/artifact-content.ts";

let folder: string;
let out: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-several-"));
  out = join(folder, "out");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A set that was made for "tiny" at 8 px and "wide" at 6 px, whose feature has 2 numbers. */
function twoEncoders() {
  const content = sampleContent();
  const { manifest } = content;
  const { encoder, probe, metrics } = manifest;
  const preprocessing = { ...encoder.preprocessing, crop: [6, 6] as [number, number], resize: 7 };
  const other = {
    encoder: { ...encoder, id: "wide", sha256: "12".repeat(32), featureSize: 2, preprocessing },
    probe: { ...probe, normalization: "l2" as const, usesStatistics: false },
    metrics: { ...metrics, closedForm: { top1: 0.4375, perClass: [0.5, null, 0.25] } },
    file: "probe-1.safetensors",
  };
  const second = {
    weight: matrix(2, 3, Float64Array.of(1, 2, 3, 4, 5, 6)),
    map: featureMap({ normalization: "l2" }),
    lambda: 0.1,
  };
  return { ...content, manifest: { ...manifest, others: [other] }, otherProbes: [second] };
}

test("a set of several encoders is read back with the probe of each", async () => {
  const content = twoEncoders();
  await writeArtifact(out, content);
  const set = await readArtifact(out);
  expect(set.manifest.others).toEqual(content.manifest.others);
  expect((await set.probe()).weight).toEqual(content.probe.weight);
  for (const name of ["wide", "wide@6", "wide@6#pooled"]) {
    const probe = await set.probe(name);
    expect(probe.weight).toEqual(content.otherProbes[0]!.weight);
    expect(probe.map.normalization).toBe("l2");
  }
  await expect(set.probe("other")).rejects.toThrow(UsageError);
  await expect(set.probe("other")).rejects.toThrow(/tiny@8, wide@6/);
});

test("its report and its card show every encoder", async () => {
  await writeArtifact(out, twoEncoders());
  const report = await readFile(join(out, "report.html"), "utf8");
  const card = await readFile(join(out, "README.md"), "utf8");
  for (const page of [report, card]) {
    expect(page).toContain("wide@6");
    expect(page).toContain("43.8 %");
  }
  expect(card).toContain('set.probe("wide@6")');
});

test("a probe of a further encoder that was changed is found", async () => {
  await writeArtifact(out, twoEncoders());
  await appendFile(join(out, "probe-1.safetensors"), "x");
  await expect(readArtifact(out)).rejects.toThrow(DataError);
});

test("options name an encoder of the set, or where the first one is now", async () => {
  const { manifest } = twoEncoders();
  const whole = { ...manifest, folders: [], files: {} };
  expect(setEncoderParams(whole, {}).params).toMatchObject({ encoder: "tiny", size: 8, resize: 10 });
  expect(setEncoderParams(whole, { encoder: "wide@6" }).params).toMatchObject({
    encoder: "wide",
    size: 6,
    resize: 7,
  });
  const moved = setEncoderParams(whole, { encoder: "elsewhere/tiny.onnx" });
  expect(moved.params).toMatchObject({ encoder: "elsewhere/tiny.onnx", size: 8 });
  expect(moved.made.encoder.id).toBe("tiny");
});

test("one encoder leaves the pages without a word of others", async () => {
  await writeArtifact(out, sampleContent());
  expect(await readFile(join(out, "report.html"), "utf8")).not.toContain("Under each encoder");
  expect(await readFile(join(out, "README.md"), "utf8")).not.toContain("## Encoders");
  expect((await readArtifact(out)).manifest).not.toHaveProperty("others");
});
