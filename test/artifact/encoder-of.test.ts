import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { setEncoderParams } from "../../src/artifact/encoder-of.ts";
import { ModelError } from "../../src/errors.ts";
import { sampleManifest } from "../support/artifact-content.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-encoder-of-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const manifestOf = (id: string) => {
  const made = sampleManifest();
  return { ...made, encoder: { ...made.encoder, id }, folders: [], files: {} };
};

test("a set that names its encoder by a path does not get it opened, unless the caller names it", async () => {
  const model = join(folder, "model.onnx");
  await writeFile(model, "");
  for (const id of [model, "../model.onnx", "./folder", "/etc/passwd"]) {
    const opening = () => setEncoderParams(manifestOf(id), "set", {});
    expect(opening).toThrow(ModelError);
    expect(opening).toThrow(`Give it as \`encoder: '${id}'\` if you trust it`);
    expect(setEncoderParams(manifestOf(id), "set", { encoder: model }).params.encoder).toBe(model);
  }
});

test("a set's encoder is opened by a name, or by an id of the hub that is no folder here", async () => {
  for (const id of ["efficientnet-lite0", "someone/vit"]) {
    expect(setEncoderParams(manifestOf(id), "set", {}).params.encoder).toBe(id);
  }
  const before = process.cwd();
  // A folder "test/artifact" would be opened for the id of that name.
  expect(() => setEncoderParams(manifestOf("test/artifact"), before, {})).toThrow(ModelError);
});
