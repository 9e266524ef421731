import { addFiles, ask, classes, classNamed, engine, lastClass, openProject } from "./state.ts";
import { texts } from "./texts.ts";

/** A file with the folder that it is in, "" for none. */
interface Placed {
  readonly file: File;
  readonly folder: string;
  /** Within what was dropped or chosen. */
  readonly path: string;
}

/** Files that systems leave in folders. */
const isHidden = (name: string): boolean => name.startsWith(".") || /^(thumbs\.db|desktop\.ini)$/i.test(name);

/** All files of what was dropped, folders included, each with the folder that it is directly in. */
export async function filesOf(transfer: DataTransfer): Promise<Placed[]> {
  // What is dropped can be looked at only before the first wait.
  const entries = Array.from(transfer.items).flatMap((item) => {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    return entry ? [entry] : [];
  });
  const found: Placed[] = [];
  for (const entry of entries) await collect(entry, "", "", found);
  return found;
}

async function collect(
  entry: FileSystemEntry,
  folder: string,
  place: string,
  found: Placed[],
): Promise<void> {
  if (isHidden(entry.name)) return;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    found.push({ file, folder, path: place + entry.name });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const inside: FileSystemEntry[] = [];
  // A call gives a hundred at most.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    inside.push(...some);
  }
  for (const child of inside.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }))) {
    await collect(child, entry.name, `${place}${entry.name}/`, found);
  }
}

/** Files of a folder chosen in a dialog, each with the folder that it is directly in. */
export const filesOfFolder = (files: readonly File[]): Placed[] =>
  files
    .filter(({ name }) => !isHidden(name))
    .map((file) => ({
      file,
      folder: file.webkitRelativePath.split("/").at(-2) ?? "",
      path: file.webkitRelativePath,
    }));

/**
 * Takes what was dropped: images into classes named as their folders, loose images into `classId`; zips of sets and projects,
 * and encoders, are opened.
 */
export function take(files: readonly Placed[], classId?: string): void {
  const [zips, rest] = parted(files, ({ file }) => /\.zip$/i.test(file.name));
  const [models, images] = parted(rest, ({ file }) => /\.onnx$/i.test(file.name));
  for (const { file } of zips) void openZip(file);
  for (const { file } of models) void useEncoder(file);
  if (images.some(({ file }) => file.name === "manifest.json")) {
    void openFolder(images);
    return;
  }
  const loose = classId ?? lastClass.value ?? classes.value[0]?.id;
  addFiles(
    images
      .filter(({ file, folder }) => classId === undefined || folder === "" || file.type !== "")
      .map(({ file, folder }) => ({
        classId:
          classId ?? (folder === "" ? (loose ?? classNamed(texts.gather.newClass(1))) : classNamed(folder)),
        name: file.name,
        content: file,
      })),
  );
}

async function openZip(file: File): Promise<void> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  // A project's zip begins with its journal, whose name is in the first bytes.
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  if (head.includes("clp-dd-project")) {
    const id = await ask(() => engine.call("importProject", [bytes]));
    if (id !== undefined) openProject(id);
    return;
  }
  await ask(() => engine.call("openSet", [file.name.replace(/\.zip$/i, ""), bytes]));
}

async function openFolder(files: readonly Placed[]): Promise<void> {
  const { zipSync } = await import("fflate");
  const entries: Record<string, Uint8Array> = {};
  for (const { file, path } of files) entries[path] = new Uint8Array(await file.arrayBuffer());
  const name = files.find(({ file }) => file.name === "manifest.json")?.folder || "set";
  await ask(() => engine.call("openSet", [name, zipSync(entries, { level: 0 })]));
}

async function useEncoder(file: File): Promise<void> {
  if (!confirm(texts.encoder.confirm(file.name))) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const name = file.name.replace(/\.onnx$/i, "");
  const id = await ask(() => engine.call("useEncoder", [name, bytes]));
  if (id !== undefined) openProject(id);
}

function parted<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
