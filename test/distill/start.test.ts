import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runDistillation } from "../../src/jobs/distill.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
let photos: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-start-"));
  photos = await makePhotos(join(home, "photos"), 4, 48);
});
afterAll(() => rm(home, { recursive: true, force: true }));

const distill = (config: Record<string, unknown>) =>
  runDistillation(
    {
      data: photos,
      encoder: "efficientnet-lite0",
      size: 48,
      out: join(home, "out"),
      overwrite: true,
      cacheFolder: join(home, "cache"),
      maxBad: 0,
      threads: 1,
      baselines: false,
      config,
    },
    { signal: new AbortController().signal, progress() {}, note() {} },
  );

// The embedded encoder's last ReLU6 leaves nothing of plain colors at 48 px.
describe("a step at which every feature is zero", { timeout: 60_000 }, () => {
  it("grows levels until there is something to learn from", async () => {
    const { manifest } = await distill({ steps: 2, levelEvery: 100 });
    expect(manifest.metrics.closedForm!.top1).toBeGreaterThan(0);
  });

  it("and so does a step that has moved all images to where every feature is zero", async () => {
    for (const seed of [0, 1, 2]) await distill({ steps: 6, levelEvery: 100, seed });
  });

  it("is told of, with what to do, where there is nothing to grow", async () => {
    await rm(photos, { recursive: true });
    for (const grey of [120, 128, 136]) {
      const folder = join(photos, String(grey));
      await mkdir(folder, { recursive: true });
      const plain = sharp({
        create: { width: 48, height: 48, channels: 3, background: { r: grey, g: grey, b: grey } },
      });
      for (const name of ["a", "b"]) await plain.png().toFile(join(folder, `${name}.png`));
    }
    const start = { steps: 2, init: "real", parametrization: "pixels" };
    await expect(distill(start)).rejects.toThrow(/features of zero.*`size`/s);
  });
});
