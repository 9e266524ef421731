import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, expect, it } from "vitest";
import { parseManifest } from "../src/artifact/manifest.ts";
import { sha256OfText } from "../src/files/hash.ts";
import { randomNumbers } from "./support/check-rule.ts";
import { clpdd } from "./support/command.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
/** `CLP_DD_PYTHON=venv/bin/python npx vitest run test/python-example.test.ts` runs it with another Python. */
const python = process.env.CLP_DD_PYTHON ?? "python3";
const modules = "import numpy, onnxruntime, PIL, safetensors";
const canRun =
  spawnSync(python, ["-c", modules], { env: { ...process.env, ORT_DISABLE_TELEMETRY: "1" } }).status === 0;

let folder: string | undefined;
afterAll(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** Noisy images of two classes that differ by a little color: no probe is right about all of them. */
async function makeHardPhotos(where: string): Promise<void> {
  const [width, height, coarse] = [60, 50, 6];
  const random = randomNumbers(3);
  for (const [split, count] of Object.entries({ train: 24, test: 40 })) {
    for (const [label, name] of ["cool", "warm"].entries()) {
      await mkdir(join(where, split, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const tint = 14 * (2 * label - 1);
        const shift = [60 * random() + tint, 60 * random(), 60 * random() - tint];
        const data = Uint8Array.from({ length: coarse * coarse * 3 }, (_, p) =>
          Math.max(0, Math.min(255, 128 + shift[p % 3] + 40 * random())),
        );
        const path = join(where, split, name, `${i}.png`);
        const options = { fit: "fill", kernel: "cubic" } as const;
        await sharp(data, { raw: { width: coarse, height: coarse, channels: 3 } })
          .resize(width, height, options)
          .png()
          .toFile(path);
      }
    }
  }
}

it.skipIf(!canRun)(
  `the Python example gets the accuracy that the tool measured${canRun ? "" : `: skipped, ${python} cannot "${modules}"`}`,
  async () => {
    folder = await mkdtemp(join(tmpdir(), "clp-dd-python-"));
    const [photos, out] = [join(folder, "photos"), join(folder, "distilled")];
    await makeHardPhotos(photos);
    const options = ["--size", "64", "--resize", "72", "--steps", "4", "--threads", "1"];
    const places = ["--out", out, "--cache-dir", join(folder, "cache")];
    const made = await clpdd(["distill", photos, ...places, ...options, "--no-baselines"]);
    expect(made.code, made.stderr).toBe(0);
    const path = join(out, "manifest.json");
    const { metrics } = await parseManifest(await readFile(path, "utf8"), path, sha256OfText);
    const { top1 } = metrics.closedForm!;
    // Neither guessing nor all right: the comparison says something.
    expect(top1).toBeGreaterThan(0.5);
    expect(top1).toBeLessThan(1);

    const model = join(root, "models/efficientnet-lite0.onnx");
    const run = spawnSync(python, [join(root, "examples/use_set.py"), out, model, join(photos, "test")], {
      encoding: "utf8",
    });
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toContain(`top-1: ${Math.round(80 * top1)}/80 = ${top1.toFixed(6)}`);
  },
  240_000,
);
