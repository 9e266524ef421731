import { downloadFileToCacheDir, listFiles } from "@huggingface/hub";
import { DataError, DownloadError, messageOf, UsageError } from "../../errors.ts";
import type { ImageSource } from "../source.ts";
import { openParquet } from "./parquet.ts";
import { safePath } from "./text-files.ts";

/** How the hub is reached; what is absent is @huggingface/hub's default (HF_HOME and its like). */
export interface HubSettings {
  /** Address of the hub or a mirror of it. */
  readonly hubUrl?: string;
  readonly accessToken?: string;
  /** Folder of the shared download cache. */
  readonly cacheDir?: string;
  /** Stands in for the global one: through a proxy, in tests. */
  readonly fetch?: typeof fetch;
}

/** A data set's id, a folder in it and a revision, as in "owner/name/folder@revision". */
export interface HubDataSet {
  readonly id: string;
  readonly folder: string;
  readonly revision: string | undefined;
}

/** Where the hub keeps parquet versions of data sets that were published in another form. */
const converted = "refs/convert/parquet";

/** Reads "owner/name", "owner/name/folder" and "…@revision". Throws UsageError at anything else. */
export function parseHubId(text: string): HubDataSet {
  const match = /^([\w.-]+\/[\w.-]+)(?:\/([^@]+))?(?:@(.+))?$/.exec(text);
  if (!match || match[1]!.split("/").some((part) => /^\.+$/.test(part))) {
    throw new UsageError(
      `"hf:${text}" names no data set of the hub. Expected hf:owner/name, with /folder for a part of it and ` +
        "@revision where wanted.",
    );
  }
  return { id: match[1]!, folder: match[2] ? safePath(match[2], `hf:${text}`) : "", revision: match[3] };
}

/**
 * A data set of the Hugging Face hub that is, or was converted to, parquet: its files are downloaded into the hub's
 * own cache once, then read as `openParquet` does.
 * Throws DownloadError when the hub cannot be reached, DataError when it has no parquet file there.
 */
export async function openHubDataSet(text: string, settings: HubSettings = {}): Promise<ImageSource> {
  const { id, folder, revision } = parseHubId(text);
  const repo = { type: "dataset", name: id } as const;
  let found: string[] = [];
  let used = revision;
  try {
    // A data set without parquet files of its own has converted ones on a branch of their own.
    for (const candidate of revision === undefined ? ["main", converted] : [revision]) {
      found = [];
      used = candidate;
      for await (const entry of listFiles({ ...settings, repo, recursive: true, revision: candidate })) {
        const inside = folder === "" || entry.path.startsWith(`${folder}/`);
        if (inside && entry.type === "file" && entry.path.endsWith(".parquet")) {
          found.push(safePath(entry.path, `hf:${id}`));
        }
      }
      if (found.length > 0) break;
    }
  } catch (cause) {
    throw unreachable(id, cause);
  }
  if (found.length === 0) {
    throw new DataError(
      `hf:${text} has no parquet files${folder === "" ? "" : ` in ${folder}`}. Give a folder of it that has, or ` +
        "download it and give its path.",
    );
  }
  const configurations = new Set(found.map((path) => path.split("/").slice(0, -1).join("/")));
  requireOneConfiguration(text, [...configurations]);
  found.sort();
  let root = "";
  try {
    for (const path of found) {
      const local = await downloadFileToCacheDir({
        ...settings,
        ...{ repo, path },
        ...(used === undefined ? {} : { revision: used }),
      });
      root = local.slice(0, local.length - path.length - 1);
    }
  } catch (cause) {
    throw unreachable(id, cause);
  }
  return openParquet(root, `hf:${text}`, found);
}

/** Folders that are no splits are configurations of a data set: other labels or images, not to be mixed. */
function requireOneConfiguration(text: string, folders: readonly string[]): void {
  const splitFolder = /^(train|training|val|valid|validation|dev|test)$/i;
  const configurations = new Set(
    folders.map((folder) =>
      folder
        .split("/")
        .filter((part) => !splitFolder.test(part))
        .join("/"),
    ),
  );
  if (configurations.size < 2) return;
  throw new UsageError(
    `hf:${text} has several configurations: ${[...configurations].join(", ")}. Name one: hf:${text}/${[...configurations][0]}`,
  );
}

function unreachable(id: string, cause: unknown): DownloadError {
  return new DownloadError(
    `The data set ${id} cannot be fetched from the hub: ${messageOf(cause)}. Check the name and the network (and the ` +
      "token, for a gated one), or download it by other means and give the folder with its parquet files.",
    { cause },
  );
}
