import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { readCsv, safePath, wholeNumber } from "../../files/text-files.ts";
import type { ImageSource } from "../image-source.ts";
import { FileRecords, fileSplit, listedSource } from "../listed-source.ts";

const metadata = "metadata.csv";
const columns = ["img_filename", "y", "split", "place"];
/** Of metadata.csv's start: its header is in it. */
const headBytes = 64 * 1024;
const classes = ["landbird", "waterbird"];
const places = ["land", "water"];

/**
 * Waterbirds (Sagawa et al. 2020): metadata.csv with the file, class `y`, split (0, 1, 2) and background `place` of
 * every image. Its four groups are class × background, as worst-group accuracy is defined on them.
 */
export async function openWaterbirds(root: string, name: string): Promise<ImageSource> {
  const parts = [new FileRecords(), new FileRecords(), new FileRecords()] as const;
  for (const row of await readCsv(root, metadata, columns)) {
    const number = (column: string, end: number) =>
      wholeNumber(row.get(column), 0, end, `value of ${column}`, row.where);
    const label = number("y", 2);
    const group = label * places.length + number("place", 2);
    parts[number("split", 3) as 0 | 1 | 2].add(safePath(row.get("img_filename"), row.where), label, group);
  }
  return listedSource({
    name,
    format: "waterbirds, names and sizes",
    classes,
    groups: classes.flatMap((bird) => places.map((place) => `${bird} on ${place}`)),
    notes: [`${join(root, metadata)}: groups are class × background.`],
    splits: new Map([
      ["train", fileSplit(root, parts[0])],
      ["val", fileSplit(root, parts[1])],
      ["test", fileSplit(root, parts[2])],
    ]),
  });
}

/** Whether a folder's metadata.csv has the columns of Waterbirds: other sets have files, and folders, of that name. */
export function isWaterbirds(root: string): boolean {
  const names = firstLine(join(root, metadata)).split(",");
  return columns.every((column) => names.some((name) => name.trim() === column));
}

/** A file's first line, or as much of it as is at its start; empty where it cannot be read. */
function firstLine(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const start = Buffer.alloc(headBytes);
      return start.toString("utf8", 0, readSync(file, start, 0, headBytes, 0)).split("\n", 1)[0];
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}
