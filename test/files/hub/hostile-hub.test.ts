import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openHubDataSet } from "../../../src/data/sets/hub-data.ts";
import { fetchModel } from "../../../src/encoder/load/hub-model.ts";
import { ClpError, DownloadError, InterruptedError, UsageError } from "../../../src/errors.ts";
import { type HubAccess, hubAccess } from "../../../src/files/hub/settings.ts";
import { type HubServer, startHub } from "../../support/hub-server.ts";

const commit = "a".repeat(40);
const token = "hf_secret";
const weights = randomBytes(5000);
const model = { id: "someone/vit" };

let folder: string;
let closers: (() => Promise<unknown>)[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-hostile-"));
  closers = [];
});
afterEach(async () => {
  for (const close of closers) await close();
  await rm(folder, { recursive: true, force: true });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/** A server that answers every request as it is told, and the authorization that came with each. */
async function serve(answer: Answer): Promise<{ url: string; authorizations: (string | undefined)[] }> {
  const authorizations: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    authorizations.push(request.headers.authorization);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, authorizations };
}

async function hub(): Promise<HubServer> {
  const files = { "config.json": JSON.stringify({ model_type: "vit" }), "model.safetensors": weights };
  const started = await startHub({ [model.id]: { commit, files } });
  closers.push(() => started.close());
  return started;
}

/** Deadlines that a test can wait for. */
const limits = {
  answerSeconds: 0.3,
  idleSeconds: 0.3,
  totalSeconds: 0.6,
  leastSpeed: 1e6,
  speedSeconds: 0.3,
};
const accessTo = (url: string, more: Partial<HubAccess> = {}): HubAccess => ({
  ...hubAccess({ HF_ENDPOINT: url, HF_TOKEN: token, HF_HOME: folder }, folder),
  limits,
  ...more,
});

const json = (response: ServerResponse, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

/** Answers as a hub with one data set, whose listing is `tree`'s to give. */
const dataSet =
  (tree: Answer): Answer =>
  (request, response) =>
    request.url!.includes("/revision/") ? json(response, { sha: commit }) : tree(request, response);

const openSet = (access: HubAccess) => openHubDataSet("owner/set", access);

async function failure(work: Promise<unknown>): Promise<Error> {
  const error: unknown = await work.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ClpError);
  return error as Error;
}

test("a listing's next page at another host is not asked, with or without the token", async () => {
  const thief = await serve((_, response) => json(response, []));
  const server = await serve(
    dataSet((_, response) => json(response, [], { link: `<${thief.url}/more>; rel="next"` })),
  );
  expect((await failure(openSet(accessTo(server.url)))).message).toContain(`goes on at ${thief.url}`);
  expect(thief.authorizations).toEqual([]);
  expect(new Set(server.authorizations)).toEqual(new Set([`Bearer ${token}`]));
});

test("a listing that leads to itself, or to ever new pages, is given up", async () => {
  let page = 0;
  const next = (path: string): Answer =>
    dataSet((_, response) => json(response, [], { link: `<${path}${page++}>; rel="next"` }));
  const endless = await serve(next("/api/more?cursor="));
  const access = accessTo(endless.url, { limits: { ...limits, pages: 7 } });
  expect((await failure(openSet(access))).message).toMatch(/has no end: 7 pages were read/);
  const circle = await serve(
    dataSet((_, response) => json(response, [], { link: '</api/again>; rel="next"' })),
  );
  expect((await failure(openSet(accessTo(circle.url)))).message).toMatch(/has no end.*back to one of them/);
});

test("redirects: the token stays at the hub's origin, and only files are taken from another", async () => {
  const real = await hub();
  for (const status of [301, 302, 307, 308]) {
    const other = await serve((request, response) =>
      response.writeHead(status, { location: `${real.url}${request.url}` }).end(),
    );
    const error = await failure(fetchModel(model, accessTo(other.url)));
    expect(error.message).toContain(`redirects requests for ${model.id} to ${real.url}`);
    expect(error.message).toContain("set HF_ENDPOINT");
  }
  expect(real.log).toEqual([]);
  // A repository that was renamed, on the same host: the method is kept.
  const renamed = await serve((request, response) => {
    if (request.url!.includes("someone/old")) {
      response.writeHead(307, { location: request.url!.replace("someone/old", "someone/new") }).end();
    } else if (request.url!.includes("/revision/")) json(response, { sha: commit });
    else if (request.url!.includes("/paths-info/"))
      json(response, request.method === "POST" ? [] : { method: "lost" });
    else json(response, []);
  });
  const nothing = await failure(fetchModel({ id: "someone/old" }, accessTo(renamed.url)));
  expect(nothing.message).toContain("neither model.safetensors");
  expect(new Set(renamed.authorizations)).toEqual(new Set([`Bearer ${token}`]));
  const circle = await serve((request, response) => response.writeHead(302, { location: request.url }).end());
  expect((await failure(fetchModel(model, accessTo(circle.url)))).message).toContain("in a circle");
  // The storage of large files is of another origin.
  const { folder: found } = await fetchModel(model, accessTo(real.url));
  expect(await readFile(join(found, "model.safetensors"))).toEqual(weights);
  expect(real.leaked).toEqual([]);
});

test("user and password in HF_ENDPOINT are sent to it, and are in no message and no provenance", async () => {
  const server = await serve((_, response) => response.writeHead(403).end());
  const withPassword = server.url.replace("http://", "http://user:pass%40s3cret@");
  const access = accessTo(withPassword);
  expect(access.hubUrl).toBe(server.url);
  const error = await failure(fetchModel(model, access));
  expect(error.message).toContain("the user and password in HF_ENDPOINT have no access");
  expect(server.authorizations[0]).toBe(`Basic ${Buffer.from("user:pass@s3cret").toString("base64")}`);
  // As a program may give it, without the environment.
  const direct = { ...access, hubUrl: withPassword };
  const gone = "http://user:s3cret@127.0.0.1:1";
  for (const hubUrl of [withPassword, gone]) {
    for (const offline of [false, true]) {
      const { message } = await failure(fetchModel(model, { ...direct, hubUrl, offline }));
      expect(message).not.toMatch(/s3cret|user:/);
    }
  }
  for (const endpoint of [
    "user:s3cret@host",
    "http://user:s3cret@",
    "ftp://user:s3cret@host",
    "http://host/?key=s3cret",
  ]) {
    const settings = () => hubAccess({ HF_ENDPOINT: endpoint }, folder);
    expect(settings).toThrow(UsageError);
    expect(settings).not.toThrow(/s3cret/);
  }
});

test.skipIf(process.platform === "win32")("a token's file that is a pipe is not waited for", () => {
  const pipe = join(folder, "token");
  execFileSync("mkfifo", [pipe]);
  expect(hubAccess({ HF_TOKEN_PATH: pipe, HF_HOME: folder }, folder).accessToken).toBeUndefined();
  expect(hubAccess({ HF_TOKEN_PATH: "/dev/zero", HF_HOME: folder }, folder).accessToken).toBeUndefined();
});

test("a token with a line break is refused without being shown, and one without hf_ is sent", async () => {
  const server = await hub();
  for (const bad of ["hf_one\nhf_two", "hf_one hf_two", "hf_ö"]) {
    const error = await failure(fetchModel(model, accessTo(server.url, { accessToken: bad })));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).not.toMatch(/hf_[oö]/);
  }
  expect(server.log).toEqual([]);
  server.repositories.set(model.id, { ...server.repositories.get(model.id)!, token: "of-a-mirror" });
  expect((await fetchModel(model, accessTo(server.url, { accessToken: "of-a-mirror" }))).commit).toBe(commit);
});

test("an answer that does not begin, stops or drips is given up in time", async () => {
  const silent = await serve(() => undefined);
  const start = performance.now();
  expect((await failure(fetchModel(model, accessTo(silent.url)))).message).toContain(
    "no answer came within 0.3 s",
  );
  const stops = await serve((_, response) => response.writeHead(200).write('{"sha":'));
  expect((await failure(fetchModel(model, accessTo(stops.url)))).message).toMatch(/stopped for 0.3 s/);
  const drips = await serve((_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 50);
    response.on("close", () => clearInterval(timer));
  });
  expect((await failure(fetchModel(model, accessTo(drips.url)))).message).toMatch(/not whole after 0.6 s/);
  expect(performance.now() - start).toBeLessThan(15_000);
});

test.each([
  ["says that there is no more", 416],
  ["sends all of it again", 200],
])("a file that is shorter than its size is given up by a hub that %s", async (_, status) => {
  let asked = 0;
  const entry = { type: "file", path: "x.parquet", size: 99, oid: "0".repeat(40) };
  const server = await serve((request, response) => {
    if (request.url!.includes("/revision/")) json(response, { sha: commit });
    else if (request.url!.includes("/tree/")) json(response, [entry]);
    else if (++asked > 20) response.destroy();
    else if (request.headers.range !== undefined && status === 416) response.writeHead(416).end();
    else response.writeHead(200).end(Buffer.alloc(50));
  });
  expect((await failure(openSet(accessTo(server.url)))).message).toMatch(
    /x\.parquet .*breaks off at \d+ of 99/,
  );
  expect(asked).toBeLessThan(10);
});

test("a file that drips is given up, and what has arrived is kept", async () => {
  const sha256 = createHash("sha256").update(weights).digest("hex");
  const listed = {
    type: "file",
    path: "model.safetensors",
    size: weights.length,
    lfs: { oid: sha256, size: weights.length },
  };
  const server = await serve((request, response) => {
    if (request.url!.includes("/revision/")) return json(response, { sha: commit });
    if (request.url!.includes("/paths-info/")) {
      return json(response, [
        ...[{ type: "file", path: "config.json", size: 2, oid: "9e26dfeeb6e641a33dae4961196235bdb965b21b" }],
        listed,
      ]);
    }
    if (request.url!.endsWith("config.json")) return response.end("{}");
    let sent = Number(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.writeHead(200 + 6 * Number(sent > 0), {
      "content-range": `bytes ${sent}-${weights.length - 1}/${weights.length}`,
    });
    const timer = setInterval(() => response.write(weights.subarray(sent, ++sent)), 20);
    return response.on("close", () => clearInterval(timer));
  });
  const error = await failure(
    fetchModel(model, accessTo(server.url)).catch((thrown: Error) => {
      throw thrown;
    }),
  );
  expect(error.message).toMatch(
    /model\.safetensors .*breaks off at \d+ of 5000 bytes \(\d+ bytes came in 0 s\)/,
  );
  const blobs = join(folder, "hub", "models--someone--vit", "blobs");
  expect(await readdir(blobs)).toContain(`${sha256}.incomplete`);
});

test("Ctrl-C while an answer drips is an interrupt, with its exit code", async () => {
  const controller = new AbortController();
  const drips = await serve((_, response) => {
    response.writeHead(200).write("{");
    setTimeout(() => controller.abort(), 100);
    const timer = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(timer));
  });
  const access = accessTo(drips.url, { limits: {} });
  const error = await failure(fetchModel(model, access, { signal: controller.signal }));
  expect(error).toBeInstanceOf(InterruptedError);
  expect((error as InterruptedError).exitCode).toBe(130);
});

test("an answer that unpacks to more than any hub sends is given up", async () => {
  const bomb = gzipSync(Buffer.alloc(40 * 2 ** 20, " "));
  const server = await serve((_, response) =>
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb),
  );
  const error = await failure(fetchModel(model, accessTo(server.url, { limits: {} })));
  expect(error.message).toContain(`more than ${16 * 2 ** 20} bytes`);
});

test.each([
  ["a negative size", { size: -1, oid: "0".repeat(40) }],
  ["a negative size of a large file", { size: 5, lfs: { oid: "0".repeat(64), size: -5 } }],
  ["a size in words", { size: 5, lfs: { oid: "0".repeat(64), size: "many" } }],
  ["a size that no file has", { size: 1e300, oid: "0".repeat(40) }],
  ["a size with a fraction", { size: 0.5, oid: "0".repeat(40) }],
  ["no size", { oid: "0".repeat(40) }],
  ["a hash that is none", { size: 5, oid: "../../escape" }],
  ["a large file's hash of git's length", { size: 5, lfs: { oid: "0".repeat(40), size: 5 } }],
  ["a path that leads out", { size: 5, oid: "0".repeat(40), path: "../x.parquet" }],
])("%s in a listing is refused before anything is written", async (_, entry) => {
  const server = await serve(
    dataSet((_request, response) => json(response, [{ type: "file", path: "train.parquet", ...entry }])),
  );
  expect(await failure(openSet(accessTo(server.url)))).toBeInstanceOf(ClpError);
  expect(await readdir(join(folder, "hub")).catch(() => [])).toEqual([]);
});

const blobsOf = () => join(folder, "hub", "models--someone--vit", "blobs");
const weightsBlob = () => join(blobsOf(), createHash("sha256").update(weights).digest("hex"));

test("a blob that was changed is noticed when it is next used, and fetched again", async () => {
  const server = await hub();
  const { folder: found } = await fetchModel(model, accessTo(server.url));
  const damaged = Buffer.from(weights);
  damaged[100]! ^= 1;
  await writeFile(weightsBlob(), damaged);
  const offline = await failure(fetchModel(model, accessTo(server.url, { offline: true })));
  expect(offline).toBeInstanceOf(DownloadError);
  expect(offline.message).toMatch(/model\.safetensors was changed or damaged since it was fetched/);
  // Though the branch has moved on, it is the commit that was there which is made whole.
  server.repositories.set(model.id, {
    ...server.repositories.get(model.id)!,
    commit: "b".repeat(40),
    revisions: { old: server.repositories.get(model.id)! },
  });
  const notes: string[] = [];
  const again = await fetchModel(model, accessTo(server.url), { note: (text) => notes.push(text) });
  expect(again.commit).toBe(commit);
  expect(notes.join()).toMatch(/changed or damaged since it was fetched.*fetched again/);
  expect(await readFile(join(found, "model.safetensors"))).toEqual(weights);
});

test("a half-fetched file that is a link is not written through", async () => {
  const server = await hub();
  const victim = join(folder, "victim");
  await writeFile(victim, "mine");
  const partial = `${weightsBlob()}.incomplete`;
  await mkdir(dirname(partial), { recursive: true });
  await symlink(victim, partial);
  await fetchModel(model, accessTo(server.url));
  expect(await readFile(victim, "utf8")).toBe("mine");
  expect(await readFile(weightsBlob())).toEqual(weights);
});
