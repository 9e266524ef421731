import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { datasetInfo, getRepoFolderName, listFiles } from "@huggingface/hub";
import * as z from "zod";
import type { PartialContext } from "../../context.ts";
import { ClpError, DataError, DownloadError, UsageError } from "../../errors.ts";
import { makeFolders, onDisk, replaceFile } from "../../files/disk.ts";
import { commitId } from "../../files/hub/commit-id.ts";
import { hubFetch, notUnderstood, UnreachableError } from "../../files/hub/request.ts";
import type { HubAccess } from "../../files/hub/settings.ts";
import { type HubFile, hubFile, transferFile } from "../../files/hub/transfer.ts";
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
 * What is there is used without asking the network again.
 *
 * @throws DownloadError when it cannot be fetched; DataError when it has no parquet file there
 */
export async function openHubDataSet(
  text: string,
  access: HubAccess,
  context: PartialContext = {},
): Promise<ImageSource> {
  const wanted = parseHubId(text);
  const repository = join(access.cacheDir, getRepoFolderName({ type: "dataset", name: wanted.id }));
  const record = join(
    repository,
    "clp-dd",
    `${createHash("sha256").update(text).digest("hex").slice(0, 16)}.json`,
  );
  const { commit, paths } =
    (await downloaded(record, repository)) ??
    (await download(text, wanted, repository, record, access, context));
  return openParquet(join(repository, "snapshots", commit), `hf:${text}`, paths);
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
    const lock = await lockFolder(repository);
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
  const request = {
    hubUrl: access.hubUrl,
    fetch: hubFetch(`datasets/${id}`, access, context),
    ...(access.accessToken ? { accessToken: access.accessToken } : {}),
  };
  const repo = { type: "dataset", name: id } as const;
  // A data set without parquet files of its own has converted ones on their own branch.
  for (const candidate of revision === undefined ? ["main", converted] : [revision]) {
    const files: HubFile[] = [];
    let commit: string;
    try {
      const info = await datasetInfo({
        ...request,
        name: id,
        revision: candidate,
        additionalFields: ["sha"],
      });
      commit = commitId(info.sha, `hf:${id}`);
    } catch (error) {
      const gone = error instanceof DownloadError && !(error instanceof UnreachableError);
      if (candidate === converted && gone) continue;
      throw error;
    }
    for await (const entry of listFiles({ ...request, repo, recursive: true, revision: commit })) {
      const inside = folder === "" || entry.path.startsWith(`${folder}/`);
      if (!inside || entry.type !== "file" || !entry.path.endsWith(".parquet")) continue;
      const { size, oid = "", lfs, xetHash } = entry;
      const path = safePath(entry.path, `hf:${id}`);
      files.push(
        hubFile({ type: "file", path, size, oid, ...(lfs ? { lfs } : {}), ...(xetHash ? { xetHash } : {}) }),
      );
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
