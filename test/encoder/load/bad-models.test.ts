import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadEncoderModel } from "../../../src/encoder/load/load.ts";
import { loadTransformerFolder } from "../../../src/encoder/vit/load-vit.ts";
import { DataError, ModelError } from "../../../src/errors.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../../src/files/safetensors.ts";

const fixtures = fileURLToPath(new URL("../../fixtures/encoders", import.meta.url));
const crop = { crop: [32, 32] as [number, number] };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-model-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A copy of a fixture's model. */
async function copyOf(name: string): Promise<void> {
  await cp(join(fixtures, name), folder, { recursive: true });
}

/** Rewrites the copy's weights: what `change` makes of each tensor (none: left out), and further ones. */
async function rewrite(
  change: (tensor: TensorToWrite) => TensorToWrite | undefined,
  ...further: TensorToWrite[]
): Promise<void> {
  const path = join(folder, "model.safetensors");
  const file = await openSafetensors(path);
  const tensors: TensorToWrite[] = [];
  for (const [name, { shape }] of file.tensors) {
    const changed = change({ name, dtype: "F32", shape, data: await file.floats(name) });
    if (changed) tensors.push(changed);
  }
  await file.close();
  await writeSafetensors(path, [...tensors, ...further]);
}

async function reconfigure(change: Record<string, unknown>): Promise<void> {
  const path = join(folder, "config.json");
  const config = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...config, ...change }));
}

/** The error of loading the copy. */
async function failure(options = {}): Promise<Error> {
  try {
    await loadTransformerFolder(folder, { preprocessing: crop, ...options });
  } catch (error) {
    return error as Error;
  }
  throw new Error("the model was loaded");
}

describe("weights that do not fit their config.json", () => {
  it("a missing tensor is named, with the shape it should have", async () => {
    await copyOf("dinov2");
    await rewrite((t) => (t.name === "encoder.layer.1.norm2.weight" ? undefined : t));
    const error = await failure();
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toContain('"encoder.layer.1.norm2.weight" is missing (expected [32])');
  });

  it("a tensor of another shape is named, with both shapes", async () => {
    await copyOf("timm-vit");
    await rewrite((t) =>
      t.name === "blocks.0.mlp.fc1.weight" ? { ...t, shape: [64, 32], data: new Float32Array(64 * 32) } : t,
    );
    const error = await failure();
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toContain('"blocks.0.mlp.fc1.weight" has shape [64, 32], expected [128, 32]');
  });

  it("a tensor that the family does not have is named", async () => {
    await copyOf("timm-eva02-base");
    const extra = {
      name: "blocks.0.attn.surprise",
      dtype: "F32",
      shape: [2],
      data: new Float32Array(2),
    } as const;
    await rewrite((t) => t, extra);
    const error = await failure();
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toContain('"blocks.0.attn.surprise" is not expected');
  });

  it("buffers of older releases and towers of other inputs are passed over", async () => {
    await copyOf("clip-vit-b-16");
    const ids = (name: string) =>
      ({ name, dtype: "I64", shape: [1, 17], data: new BigInt64Array(17) }) as const;
    await rewrite(
      (t) => t,
      ids("vision_model.embeddings.position_ids"),
      ids("text_model.embeddings.position_ids"),
    );
    const { graph } = await loadTransformerFolder(folder, { preprocessing: crop });
    expect(graph.outputs.map(({ name }) => name)).toEqual(["features", "last_hidden_state"]);
  });

  it("more blocks than the configuration has are found", async () => {
    await copyOf("clip-vit-b-16");
    const path = join(folder, "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as { vision_config: Record<string, unknown> };
    config.vision_config.num_hidden_layers = 1;
    await writeFile(path, JSON.stringify(config));
    expect((await failure()).message).toMatch(/"vision_model\.encoder\.layers\.1\.[^"]*" is not expected/);
  });

  it("a tensor of integers is named", async () => {
    await copyOf("dinov2");
    await rewrite((t) =>
      t.name === "layernorm.weight" ? { ...t, dtype: "I32", data: new Int32Array(32) } : t,
    );
    expect((await failure()).message).toContain('"layernorm.weight" is of type I32, expected floats');
  });

  it("all that is wrong is said at once, up to a limit", async () => {
    await copyOf("dinov2");
    await reconfigure({ hidden_size: 64, num_attention_heads: 4 });
    expect((await failure()).message).toMatch(/has shape .*; .*has shape .*; and \d+ more/s);
  });
});

describe("configurations", () => {
  it.each([
    ["dinov2", { model_type: "resnet" }, 'model_type "resnet"'],
    ["timm-vit", { architecture: "resnet50" }, 'architecture "resnet50"'],
    ["timm-vit", { architecture: "vit_base_patch16_rope_224" }, "vit_base_patch16_rope_224"],
  ])(
    "of %s with %o: an unknown family is answered with those that there are",
    async (name, change, named) => {
      await copyOf(name);
      await reconfigure(change);
      const error = await failure();
      expect(error).toBeInstanceOf(ModelError);
      expect(error.message).toContain(named);
      for (const family of ["CLIP", "DINOv2", "DINOv3", "EVA-02", "SigLIP", "DeiT", "MAE", "ViT"])
        expect(error.message).toContain(family);
      expect(error.message).toContain("ONNX");
    },
  );

  it("that say no family at all are answered likewise", async () => {
    await copyOf("dinov2");
    await writeFile(join(folder, "config.json"), '{"hidden_size": 32}');
    expect((await failure()).message).toMatch(/neither model_type .* nor architecture .*dinov2/s);
  });

  it.each([
    ["dinov2", { hidden_size: -1 }, /hidden_size/],
    ["dinov2", { num_attention_heads: 5 }, /32 features to 5 heads/],
    ["dinov2", { num_channels: 1 }, /3 channels/],
    ["dinov2", { hidden_act: "mystery" }, /activation "mystery".*gelu/s],
    ["dinov2", { patch_size: 64 }, /smaller than a patch of 64/],
    ["timm-vit", { global_pool: "max" }, /pools with "max"/],
    ["timm-vit", { model_args: { depth: "two" } }, /model_args\.depth/],
  ])("of %s with %o are refused", async (name, change, message) => {
    await copyOf(name);
    // The arguments of a fixture come before the outer ones.
    if ("global_pool" in change) await reconfigure({ model_args: { embed_dim: 32, depth: 2, num_heads: 2 } });
    await reconfigure(change);
    const error = await failure();
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toMatch(message);
  });

  it("that are no JSON, or are not there, are named", async () => {
    await copyOf("dinov2");
    await writeFile(join(folder, "config.json"), "{");
    expect((await failure()).message).toMatch(/config\.json is not valid JSON/);
    await rm(join(folder, "config.json"));
    expect((await failure()).message).toMatch(/has no config\.json/);
  });
});

describe("weight files", () => {
  it("that are not there are asked for", async () => {
    await copyOf("dinov2");
    await rm(join(folder, "model.safetensors"));
    expect((await failure()).message).toMatch(/neither model\.safetensors nor/);
  });

  it("a shard that is not there is named", async () => {
    await copyOf("dinov2-bfloat16-sharded");
    await rm(join(folder, "model-00002-of-00003.safetensors"));
    expect((await failure()).message).toMatch(/model-00002-of-00003\.safetensors cannot be read/);
  });

  it("a shard outside of the folder is refused", async () => {
    await copyOf("dinov2-bfloat16-sharded");
    const index = { weight_map: { a: "../../secret.safetensors" } };
    await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    expect((await failure()).message).toMatch(/outside of its own folder/);
  });

  it("an index that is none is named", async () => {
    await copyOf("dinov2-bfloat16-sharded");
    await writeFile(join(folder, "model.safetensors.index.json"), "[]");
    expect((await failure()).message).toMatch(/is not an index of shards/);
  });

  it("a header that lies about its size is found", async () => {
    await copyOf("dinov2");
    const path = join(folder, "model.safetensors");
    const bytes = await readFile(path);
    bytes.writeBigUInt64LE(BigInt(bytes.length), 0);
    await writeFile(path, bytes);
    const error = await failure();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(/header is longer than the file/);
  });

  it("a file cut short names the tensor that leaves it", async () => {
    await copyOf("dinov2");
    const path = join(folder, "model.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 4));
    const error = await failure();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(
      /the tensor "[^"]+" is not where its header says.* ends 4 bytes after the file/,
    );
  });
});

describe("what is asked of a model", () => {
  it("images that do not divide into patches are refused, with the patch named", async () => {
    await copyOf("dinov2");
    const error = await failure({ preprocessing: { crop: [30, 32] } });
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toMatch(/multiple of 8/);
  });

  it("a pooling that the model does not have is refused", async () => {
    await copyOf("siglip");
    expect((await failure({ pool: "cls" })).message).toMatch(/has no class token/);
  });

  it("a folder is loaded by its path, at another size", async () => {
    await copyOf("dinov2");
    const model = await loadEncoderModel(folder, { size: 48 });
    expect(model.preprocessing.crop).toEqual([48, 48]);
    expect(model.graph.inputs).toEqual([
      { name: "pixel_values", dtype: "float32", dims: ["batch", 3, 48, 48] },
    ]);
    expect(model.provenance.id).toBe(folder);
    expect(model.provenance.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});
