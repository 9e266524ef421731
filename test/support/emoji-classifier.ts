import { join } from "node:path";
import { baseline, type Classification, classify, exportClassifier } from "../../src/index.ts";
import { makeEmojiFolder, makePictures, type PictureOptions } from "./pictures.ts";

/** What a picture is called, and how surely. */
export interface Named {
  readonly label: string;
  readonly probability: number;
}

/** A set of a few emojis, its export, pictures, and what classify calls them. */
export interface EmojiClassifier {
  readonly set: string;
  readonly model: string;
  /** Folder of the pictures, and their paths. */
  readonly folder: string;
  readonly pictures: readonly string[];
  readonly named: readonly Named[];
}

/** Makes all of that in a folder. */
export async function makeEmojiClassifier(
  path: string,
  count: number,
  options: PictureOptions = {},
): Promise<EmojiClassifier> {
  const train = await makeEmojiFolder(join(path, "emoji"), 6);
  const [set, model, folder] = ["set", "model", "pictures"].map((name) => join(path, name));
  const common = { cacheFolder: join(path, "cache"), baselines: false, edits: false };
  await baseline({ kind: "full", data: train, out: set, size: 128, resize: 144, ...common });
  await exportClassifier(set, { out: model });
  const pictures = await makePictures(folder, count, options);
  return { set, model, folder, pictures, named: (await classify(set, pictures)).map(nameOf) };
}

function nameOf(found: Classification): Named {
  if ("unreadable" in found) throw new Error(found.unreadable);
  return { label: found.class, probability: found.probability! };
}

/** How another program's names for the pictures compare. */
export function comparison(
  named: readonly Named[],
  { labels, scores }: { readonly labels: readonly string[]; readonly scores: readonly number[] },
): { readonly agreement: number; readonly largestDifference: number; readonly different: readonly number[] } {
  const different = [...named.keys()].filter((i) => named[i].label !== labels[i]);
  return {
    agreement: 1 - different.length / named.length,
    // Of the pictures that are called the same: of others the probabilities are of two classes.
    largestDifference: named.reduce(
      (most, { label, probability }, i) =>
        label === labels[i] ? Math.max(most, Math.abs(probability - scores[i])) : most,
      0,
    ),
    different,
  };
}
