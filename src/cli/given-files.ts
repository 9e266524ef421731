import { stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { glob, isDynamicPattern } from "tinyglobby";
import { scanFolder } from "../data/folder-scan.ts";
import { DataError, UsageError } from "../errors.ts";
import { naturalSort } from "../files/natural-order.ts";
import { formatMany } from "../format.ts";
import type { UnreadableImage } from "../jobs/classify.ts";
import { printMessage } from "./terminal.ts";

/** Names of files that a command is given: what they stand for, and what stands for nothing. */
export interface ImageFiles {
  /** Each once, in the order given; those of a folder or pattern in natural order. */
  readonly files: readonly string[];
  /** A sentence for each folder or pattern without an image. */
  readonly empty: readonly string[];
}

/**
 * The files that arguments name: files, folders (every image in them), patterns such as "photos/**\/*.jpg", and "-" for a
 * list on standard input, one per line. A file that is not there is named all the same: reading it says why not.
 */
export async function imageFiles(
  given: readonly string[],
  input: NodeJS.ReadableStream & { readonly isTTY?: boolean } = process.stdin,
): Promise<ImageFiles> {
  const files = new Set<string>();
  const empty: string[] = [];
  const names = given.length === 0 && input.isTTY !== true ? ["-"] : given;
  for (const name of names) {
    if (name === "-") {
      for (const line of (await text(input)).split(/\r?\n/)) if (line !== "") files.add(line);
      continue;
    }
    const found = await stat(name).catch(() => undefined);
    if (found?.isDirectory()) {
      const { images } = await scanFolder(name);
      if (images.length === 0) empty.push(`${name} holds no images.`);
      for (const image of images) files.add(join(name, image));
    } else if (found === undefined && isDynamicPattern(name)) {
      const matches = await glob(name, { expandDirectories: false });
      if (matches.length === 0) empty.push(`${name} matches no files.`);
      for (const match of naturalSort(matches)) files.add(match);
    } else files.add(name);
  }
  return { files: [...files], empty };
}

/** The same for a command that needs some: says which folders and patterns hold none. @throws UsageError without any file */
export async function requireImageFiles(given: readonly string[]): Promise<readonly string[]> {
  const { files, empty } = await imageFiles(given);
  for (const sentence of empty) printMessage(`${sentence}\n`);
  if (files.length > 0) return files;
  throw new UsageError(
    "No image was given. Name files, folders or patterns, or list files on standard input.",
  );
}

/** Says that an image was passed over, and why. */
export function printSkipped({ image, unreadable }: UnreadableImage): void {
  const why = /\bENOENT\b/.test(unreadable) ? "there is no such file" : unreadable;
  printMessage(`Skipped: ${why.includes(image) ? why : `${image}: ${why}`}\n`);
}

/** @throws DataError where none of the images could be read */
export function requireReadable(readable: number, all: number): void {
  if (readable > 0) return;
  throw new DataError(
    all === 1 ? "The image could not be read." : `None of ${formatMany(all, "image")} could be read.`,
  );
}
