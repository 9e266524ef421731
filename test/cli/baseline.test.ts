import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { clpdd, type Outcome } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
let photos: string;
let common: string[];
const at = (name: string) => join(home, name);
const lastJson = ({ stdout }: Outcome) => JSON.parse(stdout.trim().split("\n").at(-1)!);
const baseline = (kind: string, out: string, ...more: string[]) =>
  clpdd(["baseline", kind, photos, "--out", at(out), ...common, ...more]);

/** The pixels, 3 × 32 × 32, of the class's photos that a set's first image of that class equals. */
async function sourcesOf(out: string, ipc: number): Promise<string[][]> {
  const set = await readArtifact(at(out));
  const images = await set.images();
  const each = 3 * 32 * 32;
  return Promise.all(
    set.manifest.classes.map(async (name, c) => {
      const files = (await readdir(join(photos, name))).sort();
      const known = new Map<string, string>();
      for (const file of files) {
        const raw = await sharp(join(photos, name, file))
          .raw()
          .toBuffer()
          .catch(() => undefined);
        if (raw === undefined) continue;
        const planar = Float32Array.from(
          { length: each },
          (_, p) => raw[(p % 1024) * 3 + Math.floor(p / 1024)] / 255,
        );
        known.set(planar.join(), file);
      }
      return Array.from({ length: ipc }, (_, i) => {
        const from = (c * ipc + i) * each;
        return known.get(images.slice(from, from + each).join()) ?? "none of them";
      });
    }),
  );
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-baseline-"));
  // At the encoder's input size the preprocessing leaves the pixels as they are.
  photos = await makePhotos(at("photos"), 6, 32);
  // A row of features is not the image of the same number where one cannot be read.
  await writeFile(join(photos, "blue", "00.png"), "no picture");
  common = ["--size", "32", "--resize", "32", "--cache-dir", at("cache"), "--quiet"];
});
afterAll(() => rm(home, { recursive: true, force: true }));

// Whole runs of the command line.
describe("clp-dd baseline", { timeout: 240_000 }, () => {
  it.each(["random", "centroid", "kmeans", "herding"])(
    "%s leaves an artefact of real images",
    async (kind) => {
      const made = await baseline(
        kind,
        kind,
        "--ipc",
        "2",
        "--json",
        ...(kind === "random" ? [] : ["--no-baselines"]),
      );
      expect(made.stderr).toBe("");
      expect(made.code).toBe(0);
      const set = await readArtifact(at(kind));
      expect(set.manifest.kind).toBe(kind);
      expect(set.labels).toEqual(Int32Array.of(0, 0, 1, 1, 2, 2));
      expect(set.manifest.metrics.closedForm!.top1).toBe(lastJson(made).closedForm.top1);
      const sources = await sourcesOf(kind, 2);
      for (const files of sources) {
        expect(files).not.toContain("none of them");
        expect(new Set(files).size).toBe(2);
      }
      for (const file of ["report.html", "README.md"]) {
        expect(await readFile(join(at(kind), file), "utf8"), file).toContain("6 real images");
      }
    },
  );

  it("neighbors takes the images that a set of real images already holds", async () => {
    const made = await baseline(
      "neighbors",
      "neighbors",
      "--of",
      at("random"),
      "--ipc",
      "2",
      "--no-baselines",
    );
    expect(made.stderr).toBe("");
    expect(made.code).toBe(0);
    const sorted = (sources: string[][]) => sources.map((files) => [...files].sort());
    expect(sorted(await sourcesOf("neighbors", 2))).toEqual(sorted(await sourcesOf("random", 2)));
  });

  it("full leaves its probe and no image", async () => {
    const made = await baseline("full", "full", "--json");
    expect(made.stderr).toBe("");
    expect(made.code).toBe(0);
    const set = await readArtifact(at("full"));
    expect(set.manifest.kind).toBe("full");
    expect(set.labels).toHaveLength(0);
    expect(await set.images()).toHaveLength(0);
    expect((await set.probe()).weight).toMatchObject({ rows: 1280, cols: 3 });
    const { closedForm } = lastJson(made);
    // The probe that a comparison measures as "full data".
    const { metrics } = (await readArtifact(at("random"))).manifest;
    expect(closedForm.top1).toBe(metrics.fullData!.top1);
    expect(set.manifest.probe.lambda).toBe(metrics.fullData!.lambda);
    expect(existsSync(join(at("full"), "images"))).toBe(false);
    expect(await readFile(join(at("full"), "README.md"), "utf8")).toContain("the full data's probe");
  });

  it.each([
    ["neighbors", [], 2, /--of/],
    ["random", ["--ipc", "50"], 1, /--ipc/],
    ["best", [], 2, /random, centroid/],
    ["random", ["--of", "d1"], 2, /--of means nothing to the baseline random, only to neighbors/],
    ["full", ["--ipc", "4"], 2, /--ipc means nothing/],
    ["centroid", ["--seed", "1"], 2, /--seed means nothing .* only to random and kmeans/],
    ["random", ["--dtype", "fp16"], 2, /--dtype fp16 was given/],
    ["random", ["--normalize", "l2,center-l2"], 2, /choices are none, l2/],
  ] as const)("%s with %j is refused with what to do", async (kind, options, code, message) => {
    const outcome = await baseline(kind, "x", ...options);
    expect(outcome.stderr.replace(/\s+/g, " ")).toMatch(message);
    expect(outcome.code).toBe(code);
  });
});
