import { existsSync } from "node:fs";
import { readdir, readFile, rename, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { getRepoFolderName } from "@huggingface/hub";
import type { PartialContext } from "../../context.ts";
import { ClpError, DownloadError, ModelError } from "../../errors.ts";
import { makeFolders } from "../../files/disk.ts";
import { notUnderstood, UnreachableError } from "../../files/hub/request.ts";
import type { HubAccess } from "../../files/hub/settings.ts";
import { inHubCache } from "../../files/hub/transfer.ts";
import { lockFolder } from "../../files/lock.ts";
import { safePath } from "../../files/text-files.ts";
import { isKnownConfig } from "../vit/supported.ts";
import { shardsOf } from "../vit/weight-shards.ts";
import { chooseOnnx, type Dtype, weightFiles } from "./choose-onnx.ts";
import { bringOnnx, bringSafetensors, conversion, openCommit } from "./hub-commit.ts";

/** A model of the hub. */
export interface HubModel {
  /** owner/name. */
  readonly id: string;
  /** A branch, tag or commit (default: main). */
  readonly revision?: string | undefined;
  readonly dtype?: Dtype | undefined;
}

/** Where a model's files are, complete. */
export interface HubFolder {
  readonly folder: string;
  /** The commit they are of: 40 hexadecimal digits. */
  readonly commit: string;
}

/**
 * The files of a model that are needed, in the hub's cache: from there where they are complete, else downloaded.
 * Only `refresh` looks for newer ones of a branch whose files are there: runs repeat, and work without a network.
 *
 * @throws DownloadError when they cannot be had; the message names the files and where to put them
 * @throws ModelError when the repository has nothing that can be read here
 */
export async function fetchModel(
  model: HubModel,
  access: HubAccess,
  context: PartialContext = {},
  refresh = false,
): Promise<HubFolder> {
  const cached = await cachedModel(model, access);
  if (cached !== undefined && (!refresh || access.offline)) return cached;
  if (access.offline) {
    throw new DownloadError(
      `${model.id} is not in ${access.cacheDir}, and HF_HUB_OFFLINE forbids to fetch it. ${byHand(model, access)}`,
    );
  }
  try {
    return await inHubCache(repositoryFolder(model.id, access), () => download(model, access, context));
  } catch (error) {
    if (!(error instanceof ClpError)) throw notUnderstood(model.id, access, error);
    if (!(error instanceof UnreachableError)) throw error;
    if (cached !== undefined) {
      context.note?.(`${error.message} The files that are there are used, of commit ${cached.commit}.`);
      return cached;
    }
    throw new DownloadError(`${error.message} ${byHand(model, access)}`, { cause: error });
  }
}

/** The model's files in the cache, where all that are needed are there. Asks no network. */
export async function cachedModel(model: HubModel, access: HubAccess): Promise<HubFolder | undefined> {
  const repository = repositoryFolder(model.id, access);
  for (const revision of model.revision === undefined ? ["main", convertedReference] : [model.revision]) {
    const commit = await commitInCache(repository, revision);
    if (commit === undefined) continue;
    const folder = join(repository, "snapshots", commit);
    if (await isComplete(folder, model.dtype ?? "fp32")) return { folder, commit };
  }
  return undefined;
}

/** Under which a converted commit is found again: `main` stays what it is for those who share the cache. */
const convertedReference = "clp-dd/safetensors-of-main";

function repositoryFolder(id: string, { cacheDir }: HubAccess): string {
  return join(cacheDir, getRepoFolderName({ type: "model", name: id }));
}

const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

async function commitInCache(repository: string, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision;
  const text = await readFile(join(repository, "refs", ...safeRevision(revision)), "utf8").catch(() => "");
  return isCommit(text.trim()) ? text.trim() : undefined;
}

function safeRevision(revision: string): string[] {
  return safePath(revision, "--revision").split("/");
}

async function isComplete(folder: string, dtype: Dtype): Promise<boolean> {
  const has = (path: string) => existsSync(join(folder, path));
  const config = await readFile(join(folder, "config.json"), "utf8").catch(() => undefined);
  if (isKnownConfig(config)) {
    if (has(weightFiles[0])) return true;
    const index = await readFile(join(folder, weightFiles[1]), "utf8").catch(() => undefined);
    if (index !== undefined) return shardsOf(index, join(folder, weightFiles[1])).every(has);
  }
  const paths = await localOnnx(folder);
  const onnx = paths.length === 0 ? undefined : chooseOrNone(paths, dtype);
  // A transfer writes the model last, behind the files that hold its weights.
  return onnx !== undefined;
}

function chooseOrNone(paths: readonly string[], dtype: Dtype): ReturnType<typeof chooseOnnx> {
  try {
    return chooseOnnx(paths, dtype, "");
  } catch {
    return undefined;
  }
}

/** Paths of files at a folder's root and in its `onnx`. */
export async function localOnnx(folder: string): Promise<string[]> {
  const names = async (inner: string, prefix: string) =>
    (await readdir(join(folder, inner)).catch(() => [])).sort().map((name) => prefix + name);
  return [...(await names("onnx", "onnx/")), ...(await names(".", ""))];
}

async function download(model: HubModel, access: HubAccess, context: PartialContext): Promise<HubFolder> {
  const { id, revision, dtype = "fp32" } = model;
  const repository = repositoryFolder(id, access);
  await makeFolders(repository);
  const lock = await lockFolder(repository);
  try {
    const main = await openCommit(id, revision ?? "main", repository, access, context);
    const found = (await bringSafetensors(main)) || (await bringOnnx(main, dtype));
    if (found || revision === undefined) await keepReference(repository, revision ?? "main", main.commit);
    if (found) return { folder: main.folder, commit: main.commit };
    const converted =
      revision === undefined && main.isKnown ? await conversion(id, access, context) : undefined;
    if (converted !== undefined) {
      const other = await openCommit(id, converted, repository, access, context);
      if (await bringSafetensors(other)) {
        context.note?.(`${id} has no safetensors on main; the hub's own conversion of them was taken.`);
        await keepReference(repository, convertedReference, other.commit);
        return { folder: other.folder, commit: other.commit };
      }
    }
    throw new ModelError(
      `${id} has neither ${weightFiles[0]} of a family that is built here nor an ONNX file (onnx/model.onnx). ` +
        "Take another repository of the model, or export it to ONNX and give the .onnx file.",
    );
  } finally {
    await lock.release();
    // Of a name that the hub does not have nothing is left; a folder with files stays.
    await rmdir(repository).catch(() => undefined);
  }
}

async function keepReference(repository: string, revision: string, commit: string): Promise<void> {
  if (isCommit(revision)) return;
  const path = join(repository, "refs", ...safeRevision(revision));
  await makeFolders(dirname(path));
  // Written beside and renamed: another process may be reading it.
  await writeFile(`${path}.incomplete`, commit);
  await rename(`${path}.incomplete`, path);
}

/** How to bring a model here without this program. */
function byHand({ id, revision }: HubModel, { hubUrl, cacheDir }: HubAccess): string {
  const files = `${hubUrl}/${id}/tree/${revision ?? "main"}`;
  return (
    `On a machine with a network, download config.json, preprocessor_config.json and model.safetensors (or the ONNX ` +
    `file) from ${files} into a separate folder and give that folder as \`encoder\`; or copy the folder ` +
    `${getRepoFolderName({ type: "model", name: id })} of another machine's hub cache into ${cacheDir}.`
  );
}
