import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { DataError, messageOf } from "../errors.ts";
import { naturalSort } from "../files/natural-order.ts";

/** Endings of the files that are taken for images, in lower case. */
export const imageExtensions: readonly string[] = [
  ".jpg",
  ".jpeg",
  ".jfif",
  ".png",
  ".webp",
  ".gif",
  ".tif",
  ".tiff",
  ".avif",
  ".svg",
  ".bmp",
  ".dib",
  ".ppm",
  ".pgm",
  ".pbm",
  ".pnm",
];

/** Folders that systems put beside people's own: archives of macOS, thumbnails and waste of file servers. */
const systemFolders: ReadonlySet<string> = new Set([
  "__MACOSX",
  "@eaDir",
  "@Recycle",
  "@Recently-Snapshot",
  "#recycle",
  "#snapshot",
  "$RECYCLE.BIN",
  "RECYCLER",
  "System Volume Information",
  "lost+found",
  "__pycache__",
]);
export const isSystemFolder = (name: string): boolean => systemFolders.has(name);

/** Images that the decoder cannot read: worth a word to the person, unlike text files. */
const otherImageExtensions = new Set([".heic", ".heif", ".ico", ".jp2", ".jxl", ".npy", ".psd", ".tga"]);

/** What `scanFolder` found. */
export interface FolderScan {
  /** Paths of the images relative to the folder, with `/`, in natural order. */
  readonly images: readonly string[];
  /** How many images of formats that cannot be read were passed over, by extension. */
  readonly otherImages: ReadonlyMap<string, number>;
  /** Links to nothing, and to a folder they are in. */
  readonly brokenLinks: number;
  /** Pipes, sockets and devices that are called as images are. */
  readonly notFiles: number;
  /** Folders of systems that were passed over. */
  readonly systemFolders: readonly string[];
}

/** The folders of systems in `path`. */
export async function systemFoldersIn(path: string): Promise<string[]> {
  return (await entries(path)).flatMap(({ name }) => (isSystemFolder(name) ? [name] : []));
}

/** Names of the folders in `path`, links to folders included, hidden ones and those of systems not, in natural order. */
export async function subfolders(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await entries(path)) {
    if (!isSystemFolder(entry.name) && (await kindOf(path, entry)) === "folder") names.push(entry.name);
  }
  return naturalSort(names);
}

/** Whether there is an image in `path` or the folders under it. */
export async function holdsImage(path: string, signal?: AbortSignal): Promise<boolean> {
  return (await scanFolder(path, signal, 1)).images.length > 0;
}

/**
 * Every image in `path` and the folders under it; links are followed, but never round a cycle.
 * @param most images after which it stops: what is left is not looked at
 */
export async function scanFolder(
  path: string,
  signal?: AbortSignal,
  most = Number.POSITIVE_INFINITY,
): Promise<FolderScan> {
  const images: string[] = [];
  const otherImages = new Map<string, number>();
  const systems: string[] = [];
  let brokenLinks = 0;
  let notFiles = 0;

  /** `above` holds the real paths of the folders that lead here. */
  const visit = async (relative: string, above: ReadonlySet<string>): Promise<void> => {
    signal?.throwIfAborted();
    const folder = join(path, relative);
    for (const entry of await entries(folder)) {
      if (images.length >= most) return;
      if (isSystemFolder(entry.name)) {
        systems.push(entry.name);
        continue;
      }
      const kind = await kindOf(folder, entry);
      const inside = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (kind === "folder") {
        const real = await realpath(join(folder, entry.name));
        if (above.has(real)) brokenLinks++;
        else await visit(inside, new Set([...above, real]));
      } else if (kind === "file") {
        const extension = extname(entry.name).toLowerCase();
        if (imageExtensions.includes(extension)) images.push(inside);
        else if (otherImageExtensions.has(extension)) {
          otherImages.set(extension, (otherImages.get(extension) ?? 0) + 1);
        }
      } else if (kind === "broken link") brokenLinks++;
      else if (imageExtensions.includes(extname(entry.name).toLowerCase())) notFiles++;
    }
  };
  await visit("", new Set([await realpath(path)]));
  return { images: naturalSort(images), otherImages, brokenLinks, notFiles, systemFolders: systems };
}

async function entries(folder: string): Promise<Dirent[]> {
  try {
    const all = await readdir(folder, { withFileTypes: true });
    return all.filter((entry) => !entry.name.startsWith("."));
  } catch (cause) {
    throw new DataError(`${folder} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

async function kindOf(folder: string, entry: Dirent): Promise<"file" | "folder" | "broken link" | "other"> {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "folder";
  // A link; or an entry of a file system that does not say what its entries are.
  try {
    const target = await stat(join(folder, entry.name));
    return target.isFile() ? "file" : target.isDirectory() ? "folder" : "other";
  } catch {
    return "broken link";
  }
}
