import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { baseline } from "../../src/index.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { clpdd } from "../support/command.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

let data: DataFolder;
const at = (name: string) => join(data.path, name);

/** A set of a model that makes 310 MB of each image: 4 × 4,400 × 4,400 floats. */
beforeAll(async () => {
  data = await dataFolder();
  await makePhotos(at("photos/train"), 2);
  const graph = smallGraph({
    between: (b, map) => b.named("Pad", [map, b.ints([0, 0, 2196, 2196, 0, 0, 2196, 2196])], "padded"),
  });
  await writeFile(at("model.onnx"), writeOnnx(graph).model);
  const common = { cacheFolder: at("cache"), baselines: false, edits: false, threads: 1 };
  await baseline({
    kind: "full",
    data: at("photos"),
    encoder: at("model.onnx"),
    out: at("set"),
    ...common,
  });
  const grid = { data: [at("photos")], encoders: [at("model.onnx")], methods: ["clp"], ipc: [1], seeds: [0] };
  await writeFile(at("grid.yaml"), JSON.stringify(grid));
}, 120_000);
afterAll(() => data.remove());

it.each([
  ["classify", () => ["classify", at("set"), at("photos/train/red/0.png"), "--encoder", at("model.onnx")]],
  ["explain", () => ["explain", at("set"), at("photos/train/red/0.png"), "--encoder", at("model.onnx")]],
  ["export", () => ["export", at("set"), "--out", at("exported"), "--encoder", at("model.onnx")]],
  ["check", () => ["check", at("photos"), "--encoder", at("model.onnx"), "--cache-dir", at("other")]],
  ["compare", () => ["compare", at("grid.yaml"), "--out", at("grid"), "--cache-dir", at("other")]],
])("%s runs no model that takes more than --memory", async (_, args) => {
  const { code, stderr } = await clpdd([...args(), "--memory", "256M"], { cwd: data.path });
  expect(stderr).toMatch(
    /at the node Pad .*, which makes float32 \[\d, 4, 4400, 4400\], it needs .* of at most 0\.25 GiB/,
  );
  expect(stderr).toContain("--memory");
  expect(code).toBe(1);
});
