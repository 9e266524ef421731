import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { PartialContext } from "../../context.ts";
import { DataError, UsageError } from "../../errors.ts";
import type { HubAccess } from "../../files/hub/settings.ts";
import { holdsImage, isSystemFolder } from "../folder-scan.ts";
import { classFolders, openImageFolder } from "../image-folder.ts";
import { type ImageSource, listed } from "../image-source.ts";
import { type DataSet, dataSets, isIdxFolder } from "./catalogue.ts";
import { openHubDataSet } from "./hub-data.ts";
import { openIdx } from "./idx.ts";
import { openParquet } from "./parquet.ts";
import { openWebDataset } from "./webdataset.ts";

/** How the hub is reached, and who hears of a download. */
export interface HubReach {
  readonly access: HubAccess;
  readonly context?: PartialContext;
}

/** A folder with more folders than this holds classes, not shards: it is not searched for them. */
const mostShardFolders = 16;

/**
 * Opens NAME:PATH (a known data set in a folder), hf:OWNER/NAME (of the hub), a bare NAME whose place is known, or a
 * path: of a folder that is laid out as a known data set is, of parquet files or tar shards, or of an image folder. Where
 * class folders hold images, shards beside them are passed over, with a note.
 * Throws UsageError at an unknown name; DataError, with how the files must be laid out and where they are from, when they
 * are not there.
 */
export async function openNamed(text: string, hub?: HubReach): Promise<ImageSource> {
  const named = splitName(text);
  if (named.prefix === "hf") {
    if (hub === undefined)
      throw new UsageError(`${text}: data sets of the hub cannot be named here. Give a folder.`);
    return openHubDataSet(named.path!, hub.access, hub.context);
  }
  if (named.set !== undefined && named.path !== undefined) return openIn(named.set, resolve(named.path));
  const path = resolve(text);
  if (existsSync(path)) return openPath(path);
  if (named.set !== undefined) {
    const { usual } = named.set;
    if (usual !== undefined && existsSync(usual)) return openIn(named.set, usual);
    throw new DataError(
      `${named.set.name} is read from a folder: give ${named.set.name}:PATH.\n${howTo(named.set)}`,
    );
  }
  if (named.prefix !== undefined) {
    throw new UsageError(
      `There is no data set "${named.prefix}" and no folder ${text}. \`clp-dd datasets\` lists the names.`,
    );
  }
  return openImageFolder(text);
}

/** The folder that a data set's text names, where it names one: what must not be written into. */
export function folderOf(text: string): string | undefined {
  const { set, prefix, path } = splitName(text);
  if (prefix === "hf") return undefined;
  return set === undefined ? text : (path ?? (existsSync(text) ? text : set.usual));
}

/** How a data set's files must be laid out and where they are from. */
function howTo(set: DataSet): string {
  const lines = set.layout.map((line) => `    ${line}`);
  return `${set.title} comes from\n    ${set.page}\nand must be laid out under PATH as\n${lines.join("\n")}`;
}

function splitName(text: string): { prefix?: string; set?: DataSet; path?: string } {
  const match = /^([a-z][a-z0-9-]+):(.*)$/s.exec(text);
  const find = (name: string) => dataSets.find((set) => set.name === name);
  if (match) {
    const set = find(match[1]);
    return { prefix: match[1], path: match[2], ...(set ? { set } : {}) };
  }
  const set = find(text);
  return set ? { set } : {};
}

async function openIn(set: DataSet, root: string): Promise<ImageSource> {
  if (!existsSync(root)) throw new DataError(`${set.name}: ${root} is not there.\n${howTo(set)}`);
  const missing = set.required.filter(
    (paths) => !paths.split("|").some((path) => existsSync(join(root, path))),
  );
  if (missing.length > 0) {
    throw new DataError(
      `${set.name}: ${root} lacks ${missing.map((paths) => paths.split("|")[0]).join(", ")}.\n${howTo(set)}`,
    );
  }
  if (set.isThere?.(root) === false) {
    throw new DataError(`${set.name}: ${root} lacks some of its files.\n${howTo(set)}`);
  }
  return set.open(root);
}

async function openPath(path: string): Promise<ImageSource> {
  const name = basename(path);
  const info = await stat(path);
  if (!info.isFile() && !info.isDirectory()) {
    throw new DataError(
      `${path} is a pipe, a socket or a device. Give a folder of images, a data set as NAME:PATH, or a .parquet or .tar file.`,
    );
  }
  if (info.isFile()) {
    if (path.endsWith(".parquet")) return openParquet(dirname(path), name, [name]);
    if (path.endsWith(".tar")) return openWebDataset(dirname(path), name, [name]);
    throw new DataError(
      `${path} is a file. Give a folder of images, a data set as NAME:PATH, or a .parquet or .tar file.`,
    );
  }
  const set = dataSets.find((candidate) => candidate.isRecognized?.(path));
  if (set !== undefined) return set.open(path);
  if (isIdxFolder(path)) return openIdx(path, name);
  if (existsSync(join(path, "spawrious224"))) {
    throw new UsageError(
      `${path} holds Spawrious, which has several benchmarks: name one, such as spawrious-o2o-hard:${path}`,
    );
  }
  const { parquet, tar } = await shardsIn(path);
  const shards = [...parquet, ...tar];
  if (shards.length > 0 && (await isImageFolder(path, shards))) return openBeside(path, shards);
  if (parquet.length > 0 && tar.length === 0) return openParquet(path, name, parquet);
  if (tar.length > 0 && parquet.length === 0) return openWebDataset(path, name, tar);
  return openImageFolder(path);
}

/**
 * Whether a folder with shards is an image folder that they merely are in: two class folders hold images, and none
 * holds shards in their place, as `data` does in a parquet set that has pictures of itself too.
 */
async function isImageFolder(root: string, shards: readonly string[]): Promise<boolean> {
  let classes = 0;
  for (const folder of await classFolders(root)) {
    if (await holdsImage(join(root, folder))) classes++;
    else if (shards.some((path) => path.startsWith(`${folder}/`))) return false;
  }
  return classes > 1;
}

async function openBeside(root: string, shards: readonly string[]): Promise<ImageSource> {
  const source = await openImageFolder(root);
  const note =
    `${root}: read were the images in its class folders; ${listed(shards)} beside them was passed over. To read ` +
    "that instead, give its own path, or a folder without the images.";
  return { ...source, notes: [...source.notes, note] };
}

/** Parquet files and tar archives in a folder and two levels under it, in order. */
async function shardsIn(root: string): Promise<{ parquet: string[]; tar: string[] }> {
  const found = { parquet: [] as string[], tar: [] as string[] };
  const visit = async (relative: string, levels: number): Promise<void> => {
    const entries = await readdir(join(root, relative), { withFileTypes: true });
    const folders: string[] = [];
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith(".") || isSystemFolder(entry.name)) continue;
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      else if (entry.name.endsWith(".parquet")) found.parquet.push(path);
      else if (entry.name.endsWith(".tar")) found.tar.push(path);
    }
    if (levels === 0 || folders.length > mostShardFolders) return;
    for (const folder of folders) await visit(folder, levels - 1);
  };
  await visit("", 2);
  return found;
}
