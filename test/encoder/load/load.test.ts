import {
  cp,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { asDtype, chooseOnnx } from "../../../src/encoder/load/choose-onnx.ts";
import { licenseOfCard } from "../../../src/encoder/load/license.ts";
import { loadEncoderModel } from "../../../src/encoder/load/load.ts";
import { placeOf } from "../../../src/encoder/load/place.ts";
import { isHubId, knownEncoders } from "../../../src/encoder/registry.ts";
import { ModelError } from "../../../src/errors.ts";
import { externalReader } from "../../../src/onnx-vjp/graph/external.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/encoders/${name}`, import.meta.url));
const onnxFile = fileURLToPath(new URL("../../../models/efficientnet-lite0.onnx", import.meta.url));

let folder: string;
const at = (...names: string[]) => join(folder, ...names);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-load-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("what an encoder's text names", () => {
  it("is a short name, a hub id, or a path, of which what is there comes first", async () => {
    expect(placeOf("dinov2-base")).toMatchObject({ kind: "hub", id: "facebook/dinov2-base" });
    expect(placeOf("owner/name.v1")).toMatchObject({ kind: "hub", id: "owner/name.v1" });
    expect(placeOf("efficientnet-lite0")).toMatchObject({ kind: "embedded" });
    const cwd = process.cwd();
    try {
      process.chdir(folder);
      await mkdir("owner/name", { recursive: true });
      await writeFile("dinov2-base", "");
      expect(placeOf("owner/name")).toEqual({ kind: "folder", path: "owner/name" });
      expect(placeOf("dinov2-base")).toEqual({ kind: "file", path: "dinov2-base" });
    } finally {
      process.chdir(cwd);
    }
    expect(() => placeOf("no-such-name")).toThrow(/There is no encoder "no-such-name".*dinov2-base/);
    expect(() => placeOf("missing/model.onnx")).toThrow(ModelError);
  });

  it("is an id only of the characters that the hub allows", () => {
    for (const id of ["openai/clip-vit-base-patch16", "timm/eva02_base_patch14_224.mim_in22k"])
      expect(isHubId(id)).toBe(true);
    for (const text of ["../x", "a/../b", "a/b/c", "a", "/a/b", "a b/c", "a/b--c", "a/..", "./a"])
      expect(isHubId(text)).toBe(false);
  });

  it("has no name twice, and a repository behind each that does not come with the package", () => {
    expect(new Set(knownEncoders.map(({ name }) => name)).size).toBe(knownEncoders.length);
    for (const { name, hub } of knownEncoders)
      if (name !== "efficientnet-lite0") expect(isHubId(hub!), name).toBe(true);
  });

  it("has no revision where it is not a repository", async () => {
    await expect(loadEncoderModel("efficientnet-lite0", { revision: "v1" })).rejects.toThrow(
      /`revision: 'v1'`/,
    );
  });
});

describe("a model's folder", () => {
  it("is loaded with its own preprocessing and license", async () => {
    await cp(fixture("dinov2"), folder, { recursive: true });
    const plain = await loadEncoderModel(folder);
    const [side] = plain.preprocessing.crop;
    await writeFile(
      at("preprocessor_config.json"),
      JSON.stringify({
        ...{ image_processor_type: "BitImageProcessor", size: { shortest_edge: 2 * side }, resample: 2 },
        ...{ crop_size: { height: side, width: side }, image_mean: [0, 0, 0], image_std: [1, 1, 1] },
      }),
    );
    await writeFile(at("README.md"), "---\nlicense: apache-2.0\n---\n# Model");
    const model = await loadEncoderModel(folder);
    expect(model.preprocessing).toEqual({
      resize: 2 * side,
      crop: [side, side],
      interpolation: "bilinear",
      cropOffset: "floor",
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
    expect(model.provenance).toEqual({ ...plain.provenance, license: "Apache-2.0" });
  });

  it("whose preprocessing cannot be read is refused, and never loaded with another", async () => {
    await cp(fixture("dinov2"), folder, { recursive: true });
    const path = at("preprocessor_config.json");
    const refused = (why: RegExp) => expect(loadEncoderModel(folder)).rejects.toThrow(why);
    await mkdir(path);
    await refused(/preprocessor_config\.json cannot be read: it is not a file/);
    await rm(path, { recursive: true });
    await symlink("gone.json", path);
    await refused(/preprocessor_config\.json cannot be read: it is a link to what is not there/);
  });

  it("whose weights are others is refused before all of them are read: a sparse file of a terabyte", async () => {
    await cp(fixture("dinov2"), folder, { recursive: true });
    const header = JSON.stringify({ a: { dtype: "U8", shape: [2 ** 40], data_offsets: [0, 2 ** 40] } });
    const file = await open(at("model.safetensors"), "w");
    await file.write(Buffer.concat([Buffer.of(header.length, 0, 0, 0, 0, 0, 0, 0), Buffer.from(header)]));
    await file.truncate(8 + header.length + 2 ** 40);
    await file.close();
    await expect(loadEncoderModel(folder)).rejects.toThrow(/does not hold the weights that its config\.json/);
    await expect(loadEncoderModel(at("model.safetensors"))).rejects.toThrow(
      /holds weights alone\. Give the folder/,
    );
    await truncate(at("model.safetensors"), 0);
    await truncate(at("model.safetensors"), 2 ** 30);
    await rename(at("model.safetensors"), at("zeros.onnx"));
    await expect(loadEncoderModel(at("zeros.onnx"))).rejects.toThrow(/does not begin as an ONNX model does/);
  });

  it("or an ONNX file with a cut description beside it, is refused", async () => {
    await cp(onnxFile, at("model.onnx"));
    await writeFile(at("model.json"), '{"license": "MIT", "preprocessing": {"resize": 2');
    await expect(loadEncoderModel(at("model.onnx"))).rejects.toThrow(
      /model\.json cannot be read: it is not JSON/,
    );
    // Another program's file of that name is none of ours.
    await writeFile(at("model.json"), "[1]");
    await loadEncoderModel(at("model.onnx"));
  });

  it("laid out for transformers.js is loaded from its ONNX file", async () => {
    await mkdir(at("onnx"));
    await cp(onnxFile, at("onnx", "model.onnx"));
    await writeFile(at("config.json"), JSON.stringify({ model_type: "swin" }));
    await writeFile(
      at("preprocessor_config.json"),
      JSON.stringify({ size: { height: 96, width: 96 }, resample: 3, image_mean: 0.5, image_std: 0.25 }),
    );
    for (const text of [folder, at("onnx", "model.onnx")]) {
      const model = await loadEncoderModel(text);
      expect(model.preprocessing).toMatchObject({
        resize: [96, 96],
        crop: [96, 96],
        std: [0.25, 0.25, 0.25],
      });
      expect(model.provenance.id).toBe(text);
    }
    await expect(loadEncoderModel(folder, { dtype: "fp16" })).rejects.toThrow(/onnx\/model\.onnx/);
  });

  it("with nothing in it is refused, and an unknown family is named", async () => {
    await expect(loadEncoderModel(folder)).rejects.toThrow(/is not an encoder's folder/);
    await cp(fixture("dinov2"), folder, { recursive: true });
    await writeFile(at("config.json"), JSON.stringify({ model_type: "bert" }));
    await expect(loadEncoderModel(folder)).rejects.toThrow(/model_type "bert"/);
  });
});

describe("quantized weights", () => {
  it("are refused by name", () => {
    for (const dtype of ["q8", "int8", "q4f16"]) expect(() => asDtype(dtype)).toThrow(/no gradient/);
    expect(() => chooseOnnx(["onnx/model_q4.onnx"], "fp32", "it")).toThrow(
      /onnx\/model_q4\.onnx is quantized/,
    );
  });
});

describe("external data", () => {
  const read = (location: string, offset: number, length?: number) =>
    externalReader(at("model", "m.onnx"), new Set())(location, offset, length);
  beforeEach(async () => {
    await mkdir(at("model"));
    await writeFile(at("model", "weights"), Uint8Array.from([1, 2, 3, 4, 5]));
    await writeFile(at("secret"), "secret");
  });

  it("is read whole or in part", async () => {
    expect([...(await read("weights", 1, 3))]).toEqual([2, 3, 4]);
    expect([...(await read("weights", 2))]).toEqual([3, 4, 5]);
    await symlink(at("model", "weights"), at("model", "inside"));
    expect([...(await read("inside", 4))]).toEqual([5]);
  });

  it("is read from behind 2 GiB", async () => {
    const file = await open(at("model", "large"), "w");
    await file.truncate(5 * 2 ** 30);
    await file.write(Uint8Array.from([7, 8, 9]), 0, 3, 3 * 2 ** 30);
    await file.close();
    expect([...(await read("large", 3 * 2 ** 30, 4))]).toEqual([7, 8, 9, 0]);
    await expect(read("large", 5 * 2 ** 30, 1)).rejects.toThrow(/asks for 1 bytes at 5368709120/);
  });

  it("never leaves the model's folder, by name or by link", async () => {
    await symlink(at("secret"), at("model", "link"));
    await symlink(folder, at("model", "up"));
    for (const location of ["../secret", at("secret"), "link", "up/secret"])
      await expect(read(location, 0), location).rejects.toThrow(/which is refused/);
  });

  it("in the hub's cache may lie among the blobs of its repository alone", async () => {
    const repository = at("models--a--b");
    const snapshot = join(repository, "snapshots", "0".repeat(40), "onnx");
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(repository, "blobs"));
    await writeFile(join(repository, "blobs", "x"), "blob");
    await symlink("../../../blobs/x", join(snapshot, "m.onnx_data"));
    await symlink(at("secret"), join(snapshot, "link"));
    const reader = externalReader(join(snapshot, "m.onnx"), new Set());
    expect(Buffer.from(await reader("m.onnx_data", 0, undefined)).toString()).toBe("blob");
    await expect(reader("link", 0, undefined)).rejects.toThrow(/which is refused/);
  });

  it("that is shorter than the model says is refused, with the numbers", async () => {
    await expect(read("weights", 3, 3)).rejects.toThrow(/asks for 3 bytes at 3 of "weights", which has 5/);
    for (const [offset, length] of [
      [-1, 2],
      [0, -1],
      [9, undefined],
      [0, 2 ** 40],
      [0.5, 1],
    ] as const)
      await expect(read("weights", offset, length)).rejects.toThrow(ModelError);
    await expect(read("missing", 0)).rejects.toThrow(/Put that file into/);
  });
});

describe("a card's license", () => {
  it("is read from its head", async () => {
    expect(licenseOfCard("---\nlanguage: en\nlicense: mit\n---\nlicense: other")).toBe("MIT");
    expect(licenseOfCard("---\r\nlicense: other\r\nlicense_name: dinov3-license\r\n---\r\n")).toBe(
      "dinov3-license",
    );
    expect(licenseOfCard('---\nlicense: "some-license"\n---')).toBe("some-license");
    expect(licenseOfCard("license: mit")).toBeUndefined();
    expect(licenseOfCard("---\ntags: []\n---\n")).toBeUndefined();
    expect(await readFile(onnxFile.replace(/\.onnx$/, ".json"), "utf8")).toContain("Apache-2.0");
    expect((await loadEncoderModel("efficientnet-lite0")).provenance.license).toBe("Apache-2.0");
  });
});
