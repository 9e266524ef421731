import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { clpdd } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

let home: string;
const at = (name: string) => join(home, name);
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-odd-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

it("16-bit, CMYK and animated images are read; truncated ones are skipped and named", async () => {
  await makePhotos(at("photos"), 4);
  await writeFile(at("model.onnx"), writeOnnx(smallGraph()).model);
  const plain = sharp({ create: { width: 20, height: 16, channels: 3, background: "#c82828" } });
  const red = (name: string) => at(`photos/red/${name}`);
  await plain.clone().toColourspace("rgb16").png().toFile(red("deep.png"));
  await plain.clone().toColourspace("cmyk").jpeg().toFile(red("print.jpg"));
  const frame = await plain.clone().png().toBuffer();
  await sharp([frame, frame], { join: { animated: true } })
    .gif()
    .toFile(red("moving.gif"));
  // A flat color could be told from half of its bytes: noise cannot.
  const noise = sharp({
    create: {
      width: 64,
      height: 64,
      channels: 3,
      background: "#000000",
      noise: { type: "gaussian", mean: 128, sigma: 40 },
    },
  });
  const whole = await noise.jpeg().toBuffer();
  await writeFile(red("cut.jpg"), whole.subarray(0, whole.length / 2));

  const args = ["distill", at("photos"), "--encoder", at("model.onnx"), "--cache-dir", at("cache")];
  const more = ["--steps", "2", "--no-baselines"];
  const lenient = await clpdd([...args, ...more, "--out", at("lenient")]);
  expect(lenient.code).toBe(0);
  expect(lenient.stderr.replace(/\s+/g, " ")).toMatch(/Skipped 1 unreadable image.*cut\.jpg/);
  const strict = await clpdd([
    ...args,
    ...more,
    "--out",
    at("strict"),
    "--max-bad",
    "0",
    "--cache-dir",
    at("c2"),
  ]);
  expect(strict.code).toBe(1);
  expect(strict.stderr).toContain("cut.jpg");
  expect(strict.stderr).not.toMatch(/deep\.png|print\.jpg|moving\.gif/);
});
