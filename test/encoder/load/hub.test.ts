import { createHash, randomBytes } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cachedModel, fetchModel } from "../../../src/encoder/load/hub-model.ts";
import { DownloadError, InterruptedError, ModelError } from "../../../src/errors.ts";
import { type HubAccess, hubAccess } from "../../../src/files/hub/settings.ts";
import { type HubServer, type ServedRepository, startHub } from "../../support/hub-server.ts";

const weights = randomBytes(300_000);
const commit = "a".repeat(40);
const later = "b".repeat(40);
const id = "someone/vit";
const config = JSON.stringify({ model_type: "vit" });
const vit: ServedRepository = {
  commit,
  files: {
    "config.json": config,
    "preprocessor_config.json": "{}",
    "README.md": "---\nlicense: mit\n---\n",
    "model.safetensors": weights,
    "pytorch_model.bin": randomBytes(5000),
  },
};

let hub: HubServer;
let folder: string;
let access: HubAccess;
beforeEach(async () => {
  hub = await startHub({ [id]: vit });
  folder = await mkdtemp(join(tmpdir(), "clp-dd-hub-"));
  access = hubAccess({ HF_ENDPOINT: hub.url, HF_HOME: folder }, "/nobody");
});
afterEach(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

const repository = () => join(folder, "hub", "models--someone--vit");
const model = { id };

async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error: Error) => error,
  );
}

describe("a download", () => {
  it("leaves what is needed in the layout that Hugging Face libraries share, and nothing else", async () => {
    const found = await fetchModel(model, access);
    expect(found).toEqual({ folder: join(repository(), "snapshots", commit), commit });
    expect((await readdir(found.folder)).sort()).toEqual([
      ...["README.md", "config.json", "model.safetensors", "preprocessor_config.json"],
    ]);
    expect(await readFile(join(found.folder, "model.safetensors"))).toEqual(weights);
    const sha256 = createHash("sha256").update(weights).digest("hex");
    expect(await readlink(join(found.folder, "model.safetensors"))).toBe(`../../blobs/${sha256}`);
    expect(await readFile(join(repository(), "refs", "main"), "utf8")).toBe(commit);
    expect((await readdir(repository())).sort()).toEqual(["blobs", "refs", "snapshots"]);
  });

  it("asks no network for what is there, and only a refresh finds a newer commit", async () => {
    await fetchModel(model, access);
    hub.log.length = 0;
    hub.repositories.set(id, { ...vit, commit: later, files: { ...vit.files, "config.json": `${config} ` } });
    expect((await fetchModel(model, access)).commit).toBe(commit);
    expect(hub.log).toEqual([]);
    expect((await fetchModel(model, access, {}, true)).commit).toBe(later);
    // The weights are the same blob.
    expect(hub.log.filter((line) => line.includes("model.safetensors"))).toEqual([]);
  });

  it("is made whole where a link has outlived its blob: defaults would be taken in silence", async () => {
    const found = await fetchModel(model, access);
    const link = join(found.folder, "preprocessor_config.json");
    await rm(join(found.folder, await readlink(link)));
    const notes: string[] = [];
    await fetchModel(model, access, { note: (text) => notes.push(text) });
    expect(notes.join()).toMatch(/preprocessor_config\.json .*a link to what is not there.*fetched again/);
    expect(await readFile(link, "utf8")).toBe("{}");
  });

  it("works without a network afterwards", async () => {
    await fetchModel(model, access);
    await hub.close();
    expect((await fetchModel(model, { ...access, offline: true })).commit).toBe(commit);
    const notes: string[] = [];
    const found = await fetchModel(model, access, { note: (text) => notes.push(text) }, true);
    expect(found.commit).toBe(commit);
    expect(notes.join()).toContain("cannot be reached");
  });

  it("resumes where a broken transfer stopped", async () => {
    hub.faults.set("model.safetensors", [{ cutAfter: 100_000 }, { cutAfter: 50_000 }]);
    const { folder: at } = await fetchModel(model, access);
    expect(await readFile(join(at, "model.safetensors"))).toEqual(weights);
    const ranges = hub.log.filter((line) => line.startsWith("storage")).map((line) => line.split(" ")[2]);
    expect(ranges.length).toBe(3);
    expect(ranges[0]).toBeUndefined();
    const [second, third] = ranges.slice(1).map((range) => Number(/bytes=(\d+)-/.exec(range!)![1]));
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThanOrEqual(100_000);
    expect(third).toBeGreaterThanOrEqual(second!);
  });

  it("resumes in a later run, after transfers that end too often", async () => {
    const nothing = Array.from({ length: 3 }, () => ({ cutAfter: 0 }));
    hub.faults.set("model.safetensors", [{ cutAfter: 200_000 }, ...nothing]);
    const error = await failure(fetchModel(model, access));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toMatch(/breaks off at \d+ of 300000 bytes/);
    const [partial] = (await readdir(join(repository(), "blobs"))).filter((n) => n.endsWith(".incomplete"));
    const { size } = await lstat(join(repository(), "blobs", partial!));
    expect(size).toBeGreaterThan(0);
    expect(await cachedModel(model, access)).toBeUndefined();
    hub.log.length = 0;
    const { folder: at } = await fetchModel(model, access);
    expect(hub.log.find((line) => line.startsWith("storage"))).toBe(
      `storage model.safetensors bytes=${size}-`,
    );
    expect(await readFile(join(at, "model.safetensors"))).toEqual(weights);
  });

  it("starts again where the server knows no ranges", async () => {
    hub.faults.set("model.safetensors", [{ cutAfter: 100_000 }, { ignoreRange: true }]);
    const { folder: at } = await fetchModel(model, access);
    expect(await readFile(join(at, "model.safetensors"))).toEqual(weights);
  });

  it("removes a file whose hash is another, and says so", async () => {
    for (const path of ["model.safetensors", "config.json"]) {
      hub.faults.set(path, [{ corrupt: true }]);
      const error = await failure(fetchModel(model, access));
      expect(error).toBeInstanceOf(DownloadError);
      expect(error.message).toContain(`${path} of ${id} arrived damaged`);
      expect(error.message).toContain("removed");
      const blobs = await readdir(join(repository(), "blobs"));
      expect(blobs.filter((name) => name.endsWith(".incomplete"))).toEqual([]);
      expect(await cachedModel(model, access)).toBeUndefined();
      await rm(repository(), { recursive: true, force: true });
    }
    expect((await fetchModel(model, access)).commit).toBe(commit);
  });

  it("says where to put which file when there is no network", async () => {
    await hub.close();
    const error = await failure(fetchModel(model, access));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toContain(`${hub.url} cannot be reached for ${id}`);
    expect(error.message).toContain("model.safetensors");
    expect(error.message).toContain(`models--someone--vit of another machine's hub cache into ${folder}`);
    const offline = await failure(fetchModel(model, { ...access, offline: true }));
    expect(offline.message).toContain("HF_HUB_OFFLINE");
  });

  it("sends a token to the hub and never to the storage behind it", async () => {
    hub.repositories.set(id, { ...vit, token: "secret" });
    const shut = await failure(fetchModel(model, access));
    expect(shut.message).toMatch(/not open to everyone \(401\)/);
    expect(shut.message).toContain(`Accept its license at ${hub.url}/${id}`);
    expect(shut.message).toContain("HF_TOKEN");
    const wrong = await failure(fetchModel(model, { ...access, accessToken: "hf_wrong" }));
    expect(wrong.message).toMatch(/\(403\), and the token that was sent \(HF_TOKEN\) has no access/);
    await writeFile(join(folder, "token"), "secret\n");
    const allowed = hubAccess({ HF_ENDPOINT: hub.url, HF_HOME: folder }, "/nobody");
    expect((await fetchModel(model, allowed)).commit).toBe(commit);
    expect(hub.leaked).toEqual([]);
  });

  it("tells a repository from a revision that is not there", async () => {
    const noRepository = await failure(fetchModel({ id: "someone/nothing" }, access));
    expect(noRepository.message).toContain("There is no repository someone/nothing");
    expect(await readdir(join(folder, "hub"))).toEqual([]);
    const noRevision = await failure(fetchModel({ id, revision: "v9" }, access));
    expect(noRevision.message).toContain("no such revision");
  });

  it("waits as long as a busy hub asks, and gives up on a long wait", async () => {
    hub.faults.set("api", [{ status: 429, retryAfter: "1" }, { status: 503 }]);
    const start = performance.now();
    expect((await fetchModel(model, access)).commit).toBe(commit);
    expect(performance.now() - start).toBeGreaterThan(990);
    hub.faults.set("api", [{ status: 429, retryAfter: "3600" }]);
    const error = await failure(fetchModel(model, access, {}, true));
    expect(error.message).toMatch(/too many requests \(429\)/);
    expect(error.message).toContain("3600 s");
  });

  it("stops when it is asked to, and keeps what has arrived", async () => {
    const controller = new AbortController();
    const context = {
      signal: controller.signal,
      progress: ({ done, detail }: { done: number; detail?: string }) => {
        if (detail === "model.safetensors" && done > 0) controller.abort();
      },
    };
    const error = await failure(fetchModel(model, access, context));
    expect(error).toBeInstanceOf(InterruptedError);
    expect(error.message).toContain("resumes");
    const blobs = await readdir(join(repository(), "blobs"));
    expect(blobs.some((name) => name.endsWith(".incomplete"))).toBe(true);
    expect((await fetchModel(model, access)).commit).toBe(commit);
  });

  it("reports bytes of all files up to their sum", async () => {
    const seen: { done: number; total: number }[] = [];
    await fetchModel(model, access, { progress: (progress) => seen.push(progress) });
    const last = seen.at(-1)!;
    expect(last.total).toBe(weights.length);
    expect(last.done).toBe(last.total);
    for (const { done, total } of seen) expect(done).toBeLessThanOrEqual(total);
  });
});

describe("what is fetched of a repository", () => {
  const shard = (n: number) => `model-0000${n}-of-00002.safetensors`;
  const parts = [randomBytes(2000), randomBytes(3000)];

  async function fetched(files: ServedRepository["files"], extra: Partial<ServedRepository> = {}, more = {}) {
    hub.repositories.set(id, { commit, files, ...extra });
    const found = await fetchModel({ id, ...more }, access);
    const inner = await readdir(join(found.folder, "onnx")).catch(() => []);
    const own = (await readdir(found.folder)).filter((name) => name !== "onnx");
    return { ...found, names: [...own, ...inner.map((name) => `onnx/${name}`)].sort() };
  }

  it("takes shards where an index names them", async () => {
    const map = { weight_map: { a: shard(1), b: shard(2) } };
    const { names } = await fetched({
      "config.json": config,
      "model.safetensors.index.json": JSON.stringify(map),
      [shard(1)]: parts[0],
      [shard(2)]: parts[1],
      "other.safetensors": parts[0],
    });
    expect(names).toEqual(["config.json", shard(1), shard(2), "model.safetensors.index.json"]);
  });

  it("takes the image half of a model for transformers.js, with its external data", async () => {
    const files = {
      ...{ "config.json": JSON.stringify({ model_type: "of-no-known-family" }) },
      "onnx/model.onnx": parts[0],
      "onnx/vision_model.onnx": parts[0],
      "onnx/vision_model.onnx_data": parts[1],
      "onnx/vision_model_quantized.onnx": parts[1],
      "onnx/vision_model_fp16.onnx": parts[0],
    };
    const full = await fetched(files);
    expect(full.names).toEqual(["config.json", "onnx/vision_model.onnx", "onnx/vision_model.onnx_data"]);
    const half = await fetched(files, {}, { dtype: "fp16" });
    expect(half.names).toEqual([...full.names, "onnx/vision_model_fp16.onnx"].sort());
  });

  it("refuses quantized files by name", async () => {
    const work = fetched({ "onnx/model_quantized.onnx": parts[0], "onnx/model_q4.onnx": parts[0] });
    const error = await failure(work);
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toContain("onnx/model_quantized.onnx");
    expect(error.message).toContain("without a gradient");
  });

  it("takes the hub's conversion where main has no safetensors", async () => {
    const old = { "config.json": config, "pytorch_model.bin": parts[0] };
    const files = { ...old, "model.safetensors": parts[1] };
    const { commit: used } = await fetched(old, {
      ...{ conversion: 7, revisions: { "refs/pr/7": { commit: later, files } } },
    });
    expect(used).toBe(later);
    // Those who share the cache find on main what is on main.
    expect(await readFile(join(repository(), "refs", "main"), "utf8")).toBe(commit);
    await hub.close();
    expect((await fetchModel(model, access)).commit).toBe(later);
  });

  it("says what is missing where there is nothing to read", async () => {
    const error = await failure(fetched({ "config.json": config, "pytorch_model.bin": parts[0] }));
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toContain("neither model.safetensors");
  });

  it("says so where the answers are those of no hub", async () => {
    const other = createServer((_, response) => response.end("<html>"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const error = await failure(fetchModel(model, { ...access, hubUrl: `http://127.0.0.1:${port}` }));
    other.close();
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toContain("HF_ENDPOINT");
  });

  it("does not write outside of the cache", async () => {
    const error = await failure(fetchModel({ id, revision: "../../../../escape" }, access));
    expect(error.message).toContain("leads out");
  });
});

describe("the settings", () => {
  it("are those of Hugging Face's libraries", async () => {
    await mkdir(join(folder, "home"));
    const at = (environment: Record<string, string>) => hubAccess(environment, join(folder, "home"));
    expect(at({}).cacheDir).toBe(join(folder, "home", ".cache", "huggingface", "hub"));
    expect(at({ XDG_CACHE_HOME: "/x" }).cacheDir).toBe(join("/x", "huggingface", "hub"));
    expect(at({ HF_HOME: "/h" }).cacheDir).toBe(join("/h", "hub"));
    expect(at({ HF_HOME: "/h", HF_HUB_CACHE: "/c" }).cacheDir).toBe("/c");
    expect(at({ HF_ENDPOINT: "http://mirror/" }).hubUrl).toBe("http://mirror");
    expect(at({ HF_HUB_OFFLINE: "1" }).offline).toBe(true);
    expect(at({ HF_HUB_OFFLINE: "0" }).offline).toBe(false);
    expect(at({ HF_TOKEN: "hf_a" }).accessToken).toBe("hf_a");
    expect(at({}).accessToken).toBeUndefined();
    expect(() => at({ HF_ENDPOINT: "mirror" })).toThrow(/HF_ENDPOINT/);
  });
});
