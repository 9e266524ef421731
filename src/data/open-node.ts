import { openEmoji } from "./emoji.ts";
import { openImageFolder } from "./image-folder.ts";
import type { ImageSource } from "./source.ts";

/** Data sets that come with the package, by name. */
export const embeddedDataSets = ["emoji", "emoji-subgroups"] as const;

/** Opens the data set that a person named: an embedded one, or a folder of images. */
export async function openDataSet(name: string): Promise<ImageSource> {
  if (name === "emoji") return openEmoji("groups");
  if (name === "emoji-subgroups") return openEmoji("subgroups");
  return openImageFolder(name);
}
