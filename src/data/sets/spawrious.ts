import { existsSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { scanFolder } from "../folder-scan.ts";
import type { ImageSource } from "../image-source.ts";
import { FileRecords, fileSplit, listedSource } from "../listed-source.ts";

const classes = ["bulldog", "corgi", "dachshund", "labrador"];
const locations = ["beach", "desert", "dirt", "jungle", "mountain", "snow"];
/** Images a folder of the data set has. */
const folderImages = 3168;
/** Share of a class's training images that show its spurious background, in each of the two environments. */
const shares = [0.97, 0.87];

/** Which background goes with a class in training, which in test; the rest of training has `filler`. */
interface Combination {
  readonly train: Readonly<Record<string, string>>;
  readonly test: Readonly<Record<string, string>>;
  readonly filler: string;
}

/** `_get_combinations` of github.com/aengusl/spawrious, spawrious/torch.py at 1a2b01a. */
const combinations: Readonly<Record<string, Combination>> = {
  "spawrious-o2o-easy": {
    train: { bulldog: "desert", dachshund: "jungle", labrador: "dirt", corgi: "snow" },
    test: { bulldog: "dirt", dachshund: "snow", labrador: "desert", corgi: "jungle" },
    filler: "beach",
  },
  "spawrious-o2o-medium": {
    train: { bulldog: "mountain", dachshund: "beach", labrador: "dirt", corgi: "jungle" },
    test: { bulldog: "jungle", dachshund: "dirt", labrador: "beach", corgi: "snow" },
    filler: "desert",
  },
  "spawrious-o2o-hard": {
    train: { bulldog: "jungle", dachshund: "mountain", labrador: "snow", corgi: "desert" },
    test: { bulldog: "mountain", dachshund: "snow", labrador: "desert", corgi: "jungle" },
    filler: "beach",
  },
};

/**
 * Spawrious, one-to-one: `spawrious224/<environment 0 or 1>/<location>/<class>/*`. In training 97 % and 87 % of a
 * class's images (the two environments) show one background, in test all show another. Where the benchmark takes a
 * part of a folder it takes as many as its authors, the first in natural order (theirs are the first as the file
 * system lists them). Groups are class × location.
 */
export async function openSpawrious(root: string, name: string): Promise<ImageSource> {
  const { train, test, filler } = combinations[name];
  const base = existsSync(join(root, "spawrious224")) ? join(root, "spawrious224") : root;
  const records = { train: new FileRecords(), test: new FileRecords() };
  let short = 0;
  const take = async (into: FileRecords, environment: number, place: string, dog: string, most: number) => {
    const path = `${environment}/${place}/${dog}`;
    const { images } = existsSync(join(base, path)) ? await scanFolder(join(base, path)) : { images: [] };
    if (images.length === 0) throw new DataError(`${name}: ${join(base, path)} has no image.`);
    if (images.length < folderImages) short++;
    const group = classes.indexOf(dog) * locations.length + locations.indexOf(place);
    for (const image of images.slice(0, most)) into.add(`${path}/${image}`, classes.indexOf(dog), group);
  };
  for (const [environment, share] of shares.entries()) {
    const most = Math.trunc(share * folderImages);
    for (const dog of classes) {
      await take(records.train, environment, train[dog], dog, most);
      await take(records.train, environment, filler, dog, folderImages - most);
      await take(records.test, environment, test[dog], dog, folderImages);
    }
  }
  return listedSource({
    name,
    format: "spawrious, names and sizes",
    classes,
    groups: classes.flatMap((dog) => locations.map((place) => `${dog}, ${place}`)),
    notes:
      short > 0 ? [`${name}: ${short} folders hold fewer than the data set's ${folderImages} images.`] : [],
    splits: new Map([
      ["train", fileSplit(base, records.train)],
      ["test", fileSplit(base, records.test)],
    ]),
  });
}
