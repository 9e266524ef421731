import { resolve } from "node:path";
import type { PartialContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { openEmoji } from "./emoji.ts";
import type { ImageSource } from "./image-source.ts";
import { folderOf, type HubReach, openNamed } from "./sets/open-named.ts";

/**
 * Opens the data set that a person named: an embedded one, a known one as NAME:PATH (`clp-dd datasets` lists them),
 * one of the Hugging Face hub as hf:OWNER/NAME, or a folder: of images by class, or lying as a known data set does.
 * @param hub how the hub is reached; without it no data set of the hub is opened
 */
export async function openDataSet(name: string, hub?: HubReach): Promise<ImageSource> {
  if (name.trim() === "") throw new UsageError("The data set's name is empty. Give a folder, or NAME:PATH.");
  if (name === "emoji") return openEmoji("groups");
  if (name === "emoji-subgroups") return openEmoji("subgroups");
  return openNamed(name, hub);
}

/** The folder a data set's name stands for, absolute: where nothing must be written. */
export function dataFolder(name: string): string {
  return resolve(folderOf(name) ?? name);
}

/** What `openDataSet` needs for data sets of the hub, of a job's parameters and its caller. */
export function hubReach(
  access: HubReach["access"] | undefined,
  context: PartialContext,
): HubReach | undefined {
  return access && { access, context };
}
