import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { listFiles, modelInfo, pathsInfo } from "@huggingface/hub";
import type { PartialContext } from "../../context.ts";
import { DownloadError, ModelError, messageOf } from "../../errors.ts";
import { commitId } from "../../files/hub/commit-id.ts";
import { hubFetch, UnreachableError } from "../../files/hub/request.ts";
import type { HubAccess } from "../../files/hub/settings.ts";
import { type HubFile, hubFile, transferFile } from "../../files/hub/transfer.ts";
import { safePath } from "../../files/text-files.ts";
import { isKnownConfig } from "../vit/supported.ts";
import { shardsOf } from "../vit/weight-shards.ts";
import { chooseOnnx, type Dtype, sideFiles, weightFiles } from "./choose-onnx.ts";

/** One commit of a repository on the hub, whose files are brought into the cache as they are needed. */
export interface Commit {
  /** Where its files are in the cache. */
  readonly folder: string;
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly id: string;
  /** Whether its config.json is of a family that is built from safetensors. */
  readonly isKnown: boolean;
  /** Which of these paths there are. */
  files(paths: readonly string[]): Promise<HubFile[]>;
  /** Every path at the root and in `onnx`. */
  list(): Promise<string[]>;
  get(files: readonly HubFile[]): Promise<void>;
}

/** Asks which commit a revision is and brings its small files. */
export async function openCommit(
  id: string,
  revision: string,
  repository: string,
  access: HubAccess,
  context: PartialContext,
): Promise<Commit> {
  const request = { hubUrl: access.hubUrl, fetch: hubFetch(id, access, context) };
  const repo = { type: "model", name: id } as const;
  const info = await modelInfo({ ...request, name: id, revision, additionalFields: ["sha"] });
  const commit = commitId(info.sha, id);
  if (!/^[0-9a-f]{40}$/.test(commit))
    throw new DownloadError(`The hub gives no commit for ${id} at ${revision}.`);
  const at = { ...request, repo, revision: commit };
  const files = async (paths: readonly string[]): Promise<HubFile[]> =>
    (await pathsInfo({ ...at, paths: [...paths] }))
      .filter(({ type }) => type === "file")
      .map((info) => hubFile({ ...info, path: safePath(info.path, id) }));
  const get = (wanted: readonly HubFile[]) => transferAll(id, commit, wanted, repository, access, context);
  const list = async (): Promise<string[]> => {
    const found: string[] = [];
    for (const path of ["onnx", ""]) {
      try {
        for await (const entry of listFiles({ ...at, ...(path ? { path } : {}) })) {
          if (entry.type === "file") found.push(safePath(entry.path, id));
        }
      } catch (error) {
        // A repository without that folder.
        if (path === "" || !/\(404\)/.test(messageOf(error))) throw error;
      }
    }
    return found;
  };
  await get(await files(sideFiles));
  const folder = join(repository, "snapshots", commit);
  const config = await readFile(join(folder, "config.json"), "utf8").catch(() => undefined);
  return { id, folder, commit, isKnown: isKnownConfig(config), files, list, get };
}

/** Brings the safetensors of a family that is built here. False where there are none. */
export async function bringSafetensors({ id, folder, isKnown, files, get }: Commit): Promise<boolean> {
  if (!isKnown) return false;
  const [whole, index] = weightFiles;
  const found = await files(weightFiles);
  const single = found.filter(({ path }) => path === whole);
  const listing = found.filter(({ path }) => path === index);
  if (single.length > 0) {
    await get(single);
    return true;
  }
  if (listing.length === 0) return false;
  await get(listing);
  const shards = shardsOf(await readFile(join(folder, index), "utf8"), `${id}/${index}`);
  const infos = await files(shards);
  const missing = shards.filter((shard) => !infos.some(({ path }) => path === shard));
  if (missing.length > 0) {
    throw new ModelError(
      `${id} lacks the shards ${missing.join(", ")}. Take another revision or repository.`,
    );
  }
  await get(infos);
  return true;
}

/** Brings the ONNX file of a type, and its external data before it. False where there are none. */
export async function bringOnnx({ id, files, list, get }: Commit, dtype: Dtype): Promise<boolean> {
  const onnx = chooseOnnx(await list(), dtype, id);
  if (onnx === undefined) return false;
  const infos = await files([...onnx.data, onnx.model]);
  const isModel = ({ path }: HubFile) => Number(path === onnx.model);
  await get(infos.sort((a, b) => isModel(a) - isModel(b)));
  return true;
}

/** The hub's bot offers safetensors of older repositories as a pull request, which transformers reads as well. */
export async function conversion(
  id: string,
  access: HubAccess,
  context: PartialContext,
): Promise<string | undefined> {
  const url = `${access.hubUrl}/api/models/${id}/discussions?type=pull_request&status=open&author=SFconvertbot`;
  const response = await hubFetch(
    id,
    access,
    context,
  )(url).catch((error: unknown) => {
    if (error instanceof DownloadError && !(error instanceof UnreachableError)) return undefined;
    throw error;
  });
  const body = (await response?.json().catch(() => undefined)) as
    | { discussions?: { num?: unknown; isPullRequest?: boolean; author?: { name?: string } }[] }
    | undefined;
  const found = body?.discussions?.find(
    ({ num, isPullRequest, author }) =>
      isPullRequest === true && author?.name === "SFconvertbot" && Number.isInteger(num),
  );
  return found && `refs/pr/${found.num}`;
}

async function transferAll(
  id: string,
  commit: string,
  files: readonly HubFile[],
  repository: string,
  access: HubAccess,
  context: PartialContext,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  for (const file of files) {
    await transferFile(id, commit, file, repository, access, context, (arrived) =>
      context.progress?.({
        stage: `Fetching ${id}`,
        done: before + arrived,
        total,
        unit: "bytes",
        detail: file.path,
      }),
    );
    before += file.size;
  }
}
