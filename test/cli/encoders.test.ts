import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd, type Outcome } from "../support/command.ts";
import { type HubServer, startHub } from "../support/hub-server.ts";
import { makePhotos } from "../support/photos.ts";

const model = fileURLToPath(new URL("../fixtures/encoders/clip-vit-b-16", import.meta.url));
const config = JSON.parse(readFileSync(join(model, "config.json"), "utf8")) as {
  vision_config: { image_size: number };
};
const side = config.vision_config.image_size;
const commit = "c".repeat(40);
const id = "someone/tiny-clip";
const processor = {
  feature_extractor_type: "CLIPFeatureExtractor",
  size: side,
  crop_size: side,
  do_center_crop: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

let home: string;
let photos: string;
let hub: HubServer;
const at = (name: string) => join(home, name);
const lastJson = ({ stdout }: Outcome) => JSON.parse(stdout.trim().split("\n").at(-1)!);
/** Runs a command that knows of this hub and of no other cache than this one. */
const run = async (args: readonly string[], more: Record<string, string> = {}): Promise<Outcome> => {
  const kept = { ...process.env };
  Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_HOME: at("hf"), CLP_DD_CACHE: at("cache"), ...more });
  try {
    return await clpdd(args);
  } finally {
    process.env = kept;
  }
};

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-encoders-"));
  photos = await makePhotos(at("photos"));
  const weights = Object.fromEntries(
    readdirSync(model)
      .filter((name) => name === "config.json" || name.endsWith(".safetensors"))
      .map((name) => [name, readFileSync(join(model, name))]),
  );
  const files = {
    ...weights,
    "preprocessor_config.json": JSON.stringify(processor),
    "README.md": "---\nlicense: other\nlicense_name: tiny-license\n---\n",
  };
  hub = await startHub({ [id]: { commit, files } });
});
afterAll(async () => {
  await hub.close();
  await rm(home, { recursive: true, force: true });
});

describe("clp-dd encoders", () => {
  it("lists what there is within 80 columns", async () => {
    const { code, stdout, stderr } = await run(["encoders", "--json"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const lines = stdout.trim().split("\n");
    for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(80);
    const listed = JSON.parse(lines.at(-1)!) as { name: string; present: boolean }[];
    expect(listed.filter(({ present }) => present).map(({ name }) => name)).toEqual(["efficientnet-lite0"]);
    expect(stdout).toContain("clip-vit-b-16");
  });

  it("distils with an encoder of the hub, and again without a network", async () => {
    const distill = (out: string, more: Record<string, string>) =>
      run(
        [
          ...["distill", photos, "--out", at(out), "--encoder", id, "--steps", "3", "--level-every", "2"],
          ...["--quiet", "--no-baselines"],
        ],
        more,
      );
    const first = await distill("first", {});
    expect(first.stderr).toBe("");
    expect(first.code).toBe(0);
    const manifest = JSON.parse(await readFile(join(at("first"), "manifest.json"), "utf8")) as {
      encoder: Record<string, unknown>;
    };
    expect(manifest.encoder).toMatchObject({
      ...{ id, revision: commit, license: "tiny-license", source: `${hub.url}/${id}` },
      preprocessing: {
        resize: side,
        crop: [side, side],
        interpolation: "bicubic",
        mean: processor.image_mean,
      },
    });
    expect(await readFile(join(at("first"), "README.md"), "utf8")).toContain("license tiny-license");

    const requests = hub.log.length;
    const again = await distill("again", { HF_HUB_OFFLINE: "1", HF_ENDPOINT: "http://127.0.0.1:9" });
    expect(again.stderr).toBe("");
    expect(again.code).toBe(0);
    expect(hub.log.length).toBe(requests);
    const bytes = (name: string) => readFile(join(at(name), "distilled.safetensors"));
    expect((await bytes("again")).equals(await bytes("first"))).toBe(true);

    // A branch may move on: what was distilled with a commit is evaluated with it.
    const ref = join(at("hf"), "hub", "models--someone--tiny-clip", "refs", "main");
    await rm(ref);
    const evaluated = await run(
      ["evaluate", at("first"), "--data", photos, "--probes", "closed-form", "--no-references", "--json"],
      { HF_HUB_OFFLINE: "1" },
    );
    expect(evaluated.stderr).not.toContain("clp-dd:");
    expect(evaluated.code).toBe(0);
    expect(lastJson(evaluated)[0].encoder).toContain("tiny-clip");
    await writeFile(ref, commit);
  });

  it("fetches by id, says where it lies, and inspects it", async () => {
    const fetched = await run(["encoders", "fetch", id, "--json", "--hub-cache", at("other")]);
    expect(fetched.code).toBe(0);
    expect(lastJson(fetched)).toEqual([
      { name: id, id, commit, folder: join(at("other"), "models--someone--tiny-clip", "snapshots", commit) },
    ]);
    const inspected = await run(["inspect", id, "--json", "--hub-cache", at("other")], {
      HF_HUB_OFFLINE: "1",
    });
    expect(inspected.stderr).toBe("");
    expect(lastJson(inspected).id).toBe(id);
  });

  it("says what to do where it cannot fetch", async () => {
    const unknown = await run(["encoders", "fetch", "someone/else"]);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("There is no repository someone/else");
    const offline = await run(["inspect", "dinov2-base"], { HF_HUB_OFFLINE: "1" });
    expect(offline.code).toBe(1);
    expect(offline.stderr).toContain("facebook/dinov2-base");
    expect(offline.stderr).toContain("model.safetensors");
    const quantized = await run(["inspect", id, "--dtype", "q8"]);
    expect(quantized.code).toBe(2);
    expect(quantized.stderr).toContain("no gradient");
  });
});
