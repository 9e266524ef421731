import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { constantOf } from "../../src/onnx-vjp/graph/constant.ts";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { clpdd } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

let home: string;
let photos: string;
const at = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-bad-"));
  photos = await makePhotos(at("photos"), 3);
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Writes a graph as model.onnx, its weights beside it where `externalFrom` says so. */
async function model(graph: Graph, externalFrom?: number): Promise<void> {
  const written = writeOnnx(graph, externalFrom === undefined ? {} : { externalFrom });
  await writeFile(at("model.onnx"), written.model);
  for (const { path, data } of written.external) await writeFile(at(path), data);
}

/** The error of distilling with model.onnx; nothing may be left behind. */
async function refused(...more: string[]): Promise<string> {
  const args = ["--out", at("out"), "--cache-dir", at("cache"), "--quiet", "--steps", "2"];
  const { code, stderr } = await clpdd(["distill", photos, "--encoder", at("model.onnx"), ...args, ...more]);
  expect(stderr).not.toMatch(/\n\s+at |defect/);
  expect(code).toBe(1);
  return stderr;
}

describe("a model that cannot be used ends with one clear message", () => {
  it("where it is cut short", async () => {
    await model(smallGraph());
    const bytes = await readFile(at("model.onnx"));
    await writeFile(at("model.onnx"), bytes.subarray(0, bytes.length / 2));
    expect(await refused()).toMatch(/model\.onnx.*(damaged|truncated|download)/s);
  });

  it("where the file with its weights is missing", async () => {
    const written = writeOnnx(smallGraph(), { externalFrom: 256 });
    expect(written.external.length).toBeGreaterThan(0);
    await writeFile(at("model.onnx"), written.model);
    const message = await refused();
    expect(message).toContain(`"${written.external[0].path}", which cannot be read`);
    expect(message).toContain(`Put that file into ${home}`);
  });

  it("where it takes text", async () => {
    const graph = smallGraph();
    graph.inputs = [{ name: "input_ids", dtype: "int64", dims: ["batch", 16] }];
    graph.nodes[0] = { ...graph.nodes[0], inputs: ["input_ids", graph.nodes[0].inputs[1]] };
    await model(graph);
    expect(await refused()).toMatch(/"input_ids" int64.*Expected one image input/s);
  });

  it("where it has an operator of its own", async () => {
    await model(smallGraph({ between: (b, map) => b.op("Sparkle", [map], {}, "com.example") }));
    expect(await refused()).toMatch(/com\.example\.Sparkle "Sparkle_\d+"/);
  });

  it("where an operator has no pullback, before any image is read", async () => {
    await model(smallGraph({ batch: 1, between: (b, map) => b.named("Bernoulli", [map], "draw") }));
    expect(await refused()).toMatch(/Bernoulli "draw".*--feature map/s);
  });

  it("where its weights are no numbers", async () => {
    const graph = smallGraph();
    const [name, { dims }] = [...graph.constants].find(([, c]) => c.dims.length === 4)!;
    graph.constants.set(name, constantOf("float32", dims, new Float32Array(108).fill(Number.NaN)));
    await model(graph);
    expect(await refused()).toMatch(/not finite \(NaN\)/);
  });

  it("where the feature does not exist, with those that do", async () => {
    await model(smallGraph());
    expect(await refused("--feature", "nope")).toMatch(/no tensor "nope".*Candidates: features/s);
  });
});

it("an output folder of other files is left as it is", async () => {
  await writeFile(at("photos.txt"), "");
  const { code, stderr } = await clpdd(["distill", photos, "--out", home, "--quiet"]);
  expect(stderr).toMatch(/is not empty .*Choose another --out/s);
  expect(code).toBe(1);
});

it("classes with fewer training images than asked are named with what they have", async () => {
  await model(smallGraph());
  expect(await refused("--ipc", "4")).toMatch(/blue \(2\).*red \(2\) have fewer than 4 .*--ipc/s);
});
