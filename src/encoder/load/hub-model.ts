import { existsSync } from "node:fs";
import { lstat, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PartialContext } from "../../context.ts";
import { ClpError, DownloadError, ModelError } from "../../errors.ts";
import { makeFolders } from "../../files/disk.ts";
import { cacheName } from "../../files/hub/api.ts";
import { notUnderstood, UnreachableError } from "../../files/hub/request.ts";
import { type HubAccess, withoutCredentials } from "../../files/hub/settings.ts";
import { damageOf, inHubCache } from "../../files/hub/transfer.ts";
import { lockFolder } from "../../files/lock.ts";
import { safePath } from "../../files/text-files.ts";
import { isKnownConfig } from "../vit/supported.ts";
import { shardsOf } from "../vit/weight-shards.ts";
import { chooseOnnx, type Dtype, sideFiles, weightFiles } from "./choose-onnx.ts";
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
 * The files of a model that are needed, in the hub's cache: from there where they are complete and hash to their names,
 * else downloaded. Only `refresh` looks for newer ones of a branch whose files are there: runs repeat, and work without a
 * network.
 *
 * @throws DownloadError when they cannot be had; the message names the files and where to put them
 * @throws ModelError when the repository has nothing that can be read here
 */
export async function fetchModel(
  model: HubModel,
  given: HubAccess,
  context: PartialContext = {},
  refresh = false,
): Promise<HubFolder> {
  const access = withoutCredentials(given);
  const found = await cachedModel(model, access);
  const damage = found && (await damageIn(found.folder, model, context));
  const cached = damage === undefined ? found : undefined;
  if (cached !== undefined && (!refresh || access.offline)) return cached;
  if (access.offline) {
    throw new DownloadError(
      damage === undefined
        ? `${model.id} is not in ${access.cacheDir}, and HF_HUB_OFFLINE forbids to fetch it. ${byHand(model, access)}`
        : `${damage}, and HF_HUB_OFFLINE forbids to fetch it again. ${byHand(model, access)}`,
    );
  }
  if (damage !== undefined) context.note?.(`${damage}: it is fetched again.`);
  // What is damaged is made whole as it was, though a branch may have moved on.
  const wanted = damage === undefined || refresh ? model : { ...model, revision: found?.commit };
  try {
    return await inHubCache(repositoryFolder(model.id, access), () => download(wanted, access, context));
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

/** What is wrong with a file of a model in the cache; undefined where all that are read hash to their names. */
async function damageIn(
  folder: string,
  { dtype }: HubModel,
  { signal }: PartialContext,
): Promise<string | undefined> {
  const needed = (await neededFiles(folder, dtype ?? "fp32")) ?? [];
  for (const path of [...sideFiles, ...needed].map((name) => join(folder, name))) {
    const damage = existsSync(path) ? await damageOf(path, signal) : await lossOf(path);
    if (damage !== undefined) return `${path} was changed or damaged since it was fetched (${damage})`;
  }
  return undefined;
}

/** What is wrong where a file is not there: its link may have outlived the blob. */
async function lossOf(path: string): Promise<string | undefined> {
  const link = await lstat(path).catch(() => undefined);
  return link && "it is a link to what is not there";
}

/** The model's files in the cache, where all that are needed are there. Asks no network. */
export async function cachedModel(model: HubModel, access: HubAccess): Promise<HubFolder | undefined> {
  const repository = repositoryFolder(model.id, access);
  for (const revision of model.revision === undefined ? ["main", convertedReference] : [model.revision]) {
    const commit = await commitInCache(repository, revision);
    if (commit === undefined) continue;
    const folder = join(repository, "snapshots", commit);
    if ((await neededFiles(folder, model.dtype ?? "fp32")) !== undefined) return { folder, commit };
  }
  return undefined;
}

/** Under which a converted commit is found again: `main` stays what it is for those who share the cache. */
const convertedReference = "clp-dd/safetensors-of-main";

function repositoryFolder(id: string, { cacheDir }: HubAccess): string {
  return join(cacheDir, cacheName({ type: "model", id }));
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

/** The files with a model's weights in a folder of the cache; undefined where some are missing. */
async function neededFiles(folder: string, dtype: Dtype): Promise<string[] | undefined> {
  const has = (path: string) => existsSync(join(folder, path));
  const config = await readFile(join(folder, "config.json"), "utf8").catch(() => undefined);
  if (isKnownConfig(config)) {
    const [whole, index] = weightFiles;
    if (has(whole)) return [whole];
    const text = await readFile(join(folder, index), "utf8").catch(() => undefined);
    if (text !== undefined) {
      const shards = shardsOf(text, join(folder, index));
      return shards.every(has) ? [index, ...shards] : undefined;
    }
  }
  const paths = await localOnnx(folder);
  const onnx = paths.length === 0 ? undefined : chooseOrNone(paths, dtype);
  // A transfer writes the model last, behind the files that hold its weights.
  return onnx && [onnx.model, ...onnx.data];
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
  const lock = await lockFolder(repository, context.note);
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
  // Written beside and renamed: another process may be reading it. A link that is there is not written through.
  await rm(`${path}.incomplete`, { force: true });
  await writeFile(`${path}.incomplete`, commit, { flag: "wx" });
  await rename(`${path}.incomplete`, path);
}

/** How to bring a model here without this program. */
function byHand({ id, revision }: HubModel, { hubUrl, cacheDir }: HubAccess): string {
  const files = `${hubUrl}/${id}/tree/${revision ?? "main"}`;
  return (
    `On a machine with a network, download config.json, preprocessor_config.json and model.safetensors (or the ONNX ` +
    `file) from ${files} into a separate folder and give that folder as \`encoder\`; or copy the folder ` +
    `${cacheName({ type: "model", id })} of another machine's hub cache into ${cacheDir}.`
  );
}
