import { DataError } from "../../errors.ts";
import { formatCount, formatMany } from "../../format.ts";

/** As many classes as any set of a few images has: a shard of a large set has most classes' numbers, but few of their images. */
const fewClasses = 65_536;

/**
 * The names of classes that have none: their numbers from 0 to the highest.
 * @param images how many images the set has
 * @throws DataError where one damaged number would make far more classes than there are images
 */
export function numberedClasses(name: string, highest: number, images: number): string[] {
  const count = highest + 1;
  if (count > Math.max(fewClasses, images)) {
    throw new DataError(
      `${name}: an image has the class number ${highest}, which would make ${formatCount(count)} classes of ` +
        `${formatMany(images, "image")}. Expected numbers from 0 on, without gaps; a label may be damaged.`,
    );
  }
  return Array.from({ length: count }, (_, c) => String(c));
}
