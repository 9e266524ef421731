import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DownloadError, UsageError } from "../../src/errors.ts";
import { type FileToPublish, type Publication, publish } from "../../src/files/hub/publish.ts";
import { hubAccess } from "../../src/files/hub/settings.ts";
import {
  type HubCall,
  type PublishingHub,
  type RefusedRequest,
  startPublishingHub,
} from "../support/publishing-hub.ts";

const token = "hf_secret_of_the_test";
const id = "me/emoji-8";
let hub: PublishingHub;
let folder: string;
let files: FileToPublish[];
let environment: Record<string, string>;

beforeEach(async () => {
  hub = await startPublishingHub(token, ["me"]);
  folder = await mkdtemp(join(tmpdir(), "clp-dd-publish-"));
  await writeFile(join(folder, "README.md"), "# A set\n");
  await writeFile(join(folder, "distilled.safetensors"), randomBytes(50_000));
  await writeFile(join(folder, "probe.safetensors"), randomBytes(9_000));
  files = await Promise.all(
    (await readdir(folder)).map(async (path) => {
      const file = join(folder, path);
      return { path: path === "README.md" ? path : `in/${path}`, file, bytes: (await stat(file)).size };
    }),
  );
  environment = { HF_ENDPOINT: hub.url, HF_HOME: folder, HF_TOKEN: token };
});
afterEach(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

const send = (given: Partial<Publication> = {}, context = {}) =>
  publish(
    { kind: "dataset", name: id, files, title: "A set", isPublic: false, overwrite: false, ...given },
    hubAccess(environment, "/nobody"),
    context,
  );

async function failure(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => new Error("nothing was thrown"),
    (thrown: Error) => thrown,
  );
  expect(`${error.message} ${String((error.cause as Error | undefined)?.message)}`).not.toContain(token);
  return error;
}

const fail = (call: HubCall, ...faults: RefusedRequest[]) => hub.faults.set(call, faults);
const contentOf = () =>
  [...(hub.repositories.get(id)?.files.keys() ?? [])].filter((p) => p !== ".gitattributes");

it("a folder becomes one commit of a private repository, and the token goes to the hub alone", async () => {
  const seen: number[] = [];
  const found = await send({}, { progress: ({ done }: { done: number }) => seen.push(done) });
  const repository = hub.repositories.get(id)!;
  expect(found).toEqual({
    ...{ url: `${hub.url}/datasets/${id}`, commit: repository.head },
    ...{ created: true, isPrivate: true },
  });
  expect(repository.isPrivate).toBe(true);
  expect(repository.commits.map(({ title }) => title)).toEqual(["A set"]);
  for (const { path, file } of files) expect(repository.files.get(path)).toEqual(await readFile(file));
  expect(hub.leaked).toEqual([]);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(files.reduce((sum, { bytes }) => sum + bytes, 0));
});

it("a repository with files is only replaced when that is asked for, by a commit that deletes the others", async () => {
  await send();
  const error = await failure(send());
  expect(error).toBeInstanceOf(UsageError);
  expect(error.message).toContain("`overwrite: true`");
  await send({ files: files.slice(0, 1), overwrite: true });
  expect(contentOf()).toEqual([files[0]!.path]);
  expect(hub.repositories.get(id)!.commits.length).toBe(2);
});

it("a public repository gets nothing that was not said to be public", async () => {
  await send({ isPublic: true });
  expect(hub.repositories.get(id)!.isPrivate).toBe(false);
  const error = await failure(send({ overwrite: true }));
  expect(error).toBeInstanceOf(UsageError);
  expect(error.message).toMatch(/is public.*`public: true`/);
  expect(hub.repositories.get(id)!.commits.length).toBe(1);
});

it("without a token, offline, or with a token that is wrong or may not write, nothing is sent", async () => {
  const { HF_TOKEN: _, ...without } = environment;
  environment = without;
  expect((await failure(send())).message).toMatch(/needs a token with write access/);
  environment = { ...without, HF_TOKEN: token, HF_HUB_OFFLINE: "1" };
  expect((await failure(send())).message).toContain("HF_HUB_OFFLINE");
  expect(hub.log).toEqual([]);
  environment = { ...without, HF_TOKEN: "hf_other" };
  expect((await failure(send())).message).toMatch(/does not accept the token \(401\).*Nothing was published/);
  environment = { ...without, HF_TOKEN: token };
  const foreign = await failure(send({ name: "others/emoji" }));
  expect(foreign.message).toMatch(/may not write to others\/emoji \(403\).*member of others/);
  expect(hub.repositories.size).toBe(0);
});

it("a busy hub is asked again when it says, and a broken one some times", async () => {
  fail("preupload", { status: 429, retryAfter: "0" }, { status: 503, retryAfter: "0" });
  fail("storage", { status: 500, retryAfter: "0" });
  fail("commit", { status: 502, retryAfter: "0" });
  await send();
  expect(contentOf().sort()).toEqual(files.map(({ path }) => path).sort());
});

it("whatever fails before the commit, nothing is published, and the same call then continues", async () => {
  const busy = Array.from({ length: 4 }, () => ({ status: 429, retryAfter: "0" }));
  const cut: RefusedRequest[] = [{ cut: "before" }, { cut: "before" }];
  const cases: [HubCall, RefusedRequest[], RegExp][] = [
    ["preupload", busy, /too many requests \(429\)/],
    ["preupload", [{ status: 429, retryAfter: "3600" }], /Try again in 3600 s/],
    ["lfs", busy.map(() => ({ status: 500, retryAfter: "0" })), /answers 500/],
    ["storage", [...cut, ...cut], /cannot be reached/],
    ["commit", [{ status: 409 }], /changed by someone else meanwhile \(409\)/],
    ["commit", [{ status: 403 }], /may not write/],
  ];
  for (const [call, faults, message] of cases) {
    fail(call, ...faults);
    const error = await failure(send());
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain("Nothing was published");
    expect(contentOf()).toEqual([]);
    hub.faults.clear();
  }
  await send();
  expect(hub.repositories.get(id)!.commits.length).toBe(1);
}, 30_000);

it("a commit whose answer is lost is not sent twice, and is said to be uncertain", async () => {
  fail("commit", { cut: "after" });
  const error = await failure(send());
  expect(error.message).toMatch(/Whether the commit arrived is not known: look at .*emoji-8/);
  expect(hub.log.filter((call) => call === "commit").length).toBe(1);
});
