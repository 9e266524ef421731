import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { PartialContext } from "../../context.ts";
import { ClpError, DataError, DownloadError, UsageError } from "../../errors.ts";
import { makeFolders, onDisk, replaceFile } from "../../files/disk.ts";
import { cacheName, HubApi } from "../../files/hub/api.ts";
import { notUnderstood, UnreachableError } from "../../files/hub/request.ts";
import { type HubAccess, withoutCredentials } from "../../files/hub/settings.ts";
import { damageOf, type HubFile, hubFile, transferFile } from "../../files/hub/transfer.ts";
import { lockFolder } from "../../files/lock.ts";
import { safePath } from "../../files/text-files.ts";
import type { ImageSource } from "../image-source.ts";
import { splitOfName } from "../split-name.ts";
import { openParquet } from "./parquet.ts";

/** A data set's id, a folder in it and a revision, as in "owner/name/folder@revision". */
export interface HubDataSet {
  readonly id: string;
  readonly folder: string;
  readonly revision: string | undefined;
}

/** Where the hub keeps parquet versions of data sets that were published in another form. */
const converted = "refs/convert/parquet";

/** What was downloaded for a name: kept beside the files, so that later runs need no network. */
const Downloaded = z.object({
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  paths: z.array(z.string()).min(1),
});
type Downloaded = z.infer<typeof Downloaded>;

/** Reads "owner/name", "owner/name/folder" and "…@revision". Throws UsageError at anything else. */
export function parseHubId(text: string): HubDataSet {
  const match = /^([\w.-]+\/[\w.-]+)(?:\/([^@]+))?(?:@(.+))?$/.exec(text);
  if (!match || match[1].split("/").some((part) => /^\.+$/.test(part))) {
    throw new UsageError(
      `"hf:${text}" names no data set of the hub. Expected hf:owner/name, with /folder for a part of it and ` +
        "@revision where wanted.",
    );
  }
  return { id: match[1], folder: match[2] ? safePath(match[2], `hf:${text}`) : "", revision: match[3] };
}

/**
 * A data set of the Hugging Face hub that is, or was converted to, parquet: its files are downloaded into the hub's
 * own cache once, resumed where a transfer was cut and checked against their hashes, then read as `openParquet` does.
 * What is there is used without asking the network again; a file is compared with its hash once per process, when the
 * first of its images is read.
 *
 * @throws DownloadError when it cannot be fetched; DataError when it has no parquet file there
 */
export async function openHubDataSet(
  text: string,
  given: HubAccess,
  context: PartialContext = {},
): Promise<ImageSource> {
  const access = withoutCredentials(given);
  const wanted = parseHubId(text);
  const repository = join(access.cacheDir, cacheName({ type: "dataset", id: wanted.id }));
  const record = join(
    repository,
    "clp-dd",
    `${createHash("sha256").update(text).digest("hex").slice(0, 16)}.json`,
  );
  const { commit, paths } =
    (await downloaded(record, repository)) ??
    (await download(text, wanted, repository, record, access, context));
  return openParquet(join(repository, "snapshots", commit), `hf:${text}`, paths, async (path) => {
    const damage = await damageOf(path, context.signal);
    if (damage === undefined) return;
    throw new DataError(
      `${path} was changed or damaged since it was fetched (${damage}). Delete it and ${await realpath(path)}; the next ` +
        "run fetches it again.",
    );
  });
}

async function downloaded(record: string, repository: string): Promise<Downloaded | undefined> {
  try {
    const found = Downloaded.parse(JSON.parse(await readFile(record, "utf8")));
    const folder = join(repository, "snapshots", found.commit);
    const paths = found.paths.map((path) => safePath(path, record));
    return paths.every((path) => existsSync(join(folder, path))) ? { ...found, paths } : undefined;
  } catch {
    return undefined;
  }
}

async function download(
  text: string,
  wanted: HubDataSet,
  repository: string,
  record: string,
  access: HubAccess,
  context: PartialContext,
): Promise<Downloaded> {
  const address = `datasets/${wanted.id}`;
  const byHand =
    `Download its .parquet files from ${access.hubUrl}/${address}/tree/${wanted.revision ?? "main"} by other means ` +
    "and give the folder that they are in.";
  if (access.offline) {
    throw new DownloadError(
      `hf:${text} is not in ${access.cacheDir}, and HF_HUB_OFFLINE forbids to fetch it. ${byHand}`,
    );
  }
  try {
    const { commit, files } = await parquetFiles(text, wanted, access, context).catch((error: unknown) => {
      throw error instanceof ClpError ? error : notUnderstood(`hf:${text}`, access, error);
    });
    await onDisk(repository, () => makeFolders(join(repository, "clp-dd")));
    const lock = await lockFolder(repository, context.note);
    try {
      const total = files.reduce((sum, { size }) => sum + size, 0);
      let before = 0;
      for (const file of files) {
        await transferFile(address, commit, file, repository, access, context, (arrived) =>
          context.progress?.({
            stage: `Fetching ${wanted.id}`,
            done: before + arrived,
            total,
            unit: "bytes",
            detail: file.path,
          }),
        );
        before += file.size;
      }
      const found = { commit, paths: files.map(({ path }) => path) };
      await onDisk(repository, () => replaceFile(record, JSON.stringify(found)));
      return found;
    } finally {
      await lock.release();
    }
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    throw new DownloadError(`${error.message} ${byHand}`, { cause: error });
  }
}

/** The parquet files that a name stands for, in order, and the commit that they are of. */
async function parquetFiles(
  text: string,
  { id, folder, revision }: HubDataSet,
  access: HubAccess,
  context: PartialContext,
): Promise<{ commit: string; files: HubFile[] }> {
  const api = new HubApi({ type: "dataset", id }, access, context);
  // A data set without parquet files of its own has converted ones on their own branch.
  for (const candidate of revision === undefined ? ["main", converted] : [revision]) {
    const files: HubFile[] = [];
    let commit: string;
    try {
      commit = await api.commitOf(candidate);
    } catch (error) {
      const gone = error instanceof DownloadError && !(error instanceof UnreachableError);
      if (candidate === converted && gone) continue;
      throw error;
    }
    for await (const entry of api.list(commit, "", true)) {
      const inside = folder === "" || entry.path.startsWith(`${folder}/`);
      if (!inside || entry.type !== "file" || !entry.path.endsWith(".parquet")) continue;
      files.push(hubFile({ ...entry, path: safePath(entry.path, `hf:${id}`) }));
    }
    if (files.length === 0) continue;
    requireOneConfiguration(
      text,
      files.map(({ path }) => path.split("/").slice(0, -1).join("/")),
    );
    return { commit, files: files.sort((a, b) => (a.path < b.path ? -1 : 1)) };
  }
  throw new DataError(
    `hf:${text} has no parquet files${folder === "" ? "" : ` in ${folder}`}. Give a folder of it that has, or ` +
      "download it and give its path.",
  );
}

/** Folders that are no splits are configurations of a data set: other labels or images, not to be mixed. */
function requireOneConfiguration(text: string, folders: readonly string[]): void {
  const configurations = new Set(
    folders.map((folder) =>
      folder
        .split("/")
        .filter((part) => splitOfName(part) === undefined)
        .join("/"),
    ),
  );
  if (configurations.size < 2) return;
  const [first] = configurations;
  throw new UsageError(
    `hf:${text} has several configurations: ${[...configurations].join(", ")}. Name one: hf:${text}/${first}`,
  );
}
