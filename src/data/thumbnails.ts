import { thumbnailUri } from "../images/thumbnail.ts";
import { decoded, withBytes } from "./decode-item.ts";
import type { ImageSource, Split } from "./image-source.ts";

/** An image of a data set that a page is to show. */
export interface Pictured {
  readonly split: Split;
  /** Index in the split. */
  readonly index: number;
  /** Under what it is asked for. */
  readonly key: string;
}

/** Side of a thumbnail: shown at half of it, it is sharp on any screen. */
const side = 96;
/** Of all thumbnails of a page together, as data URIs. */
const mostCharacters = 4 * 2 ** 20;
/** Images that are decoded at a time. */
const together = 4;

/**
 * Thumbnails of some images, by key, as data URIs: the first come first, until they would take more than 4 MiB together.
 * Images that cannot be read have none.
 */
export async function thumbnailsOf(
  source: ImageSource,
  wanted: readonly Pictured[],
  onDone: (done: number) => void = () => undefined,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let characters = 0;
  for (let start = 0; start < wanted.length && characters < mostCharacters; start += together) {
    const some = wanted.slice(start, start + together);
    const uris = await Promise.all(some.map(({ split, index }) => thumbnailOf(source, split, index)));
    for (const [i, uri] of uris.entries()) {
      if (uri === undefined || characters + uri.length > mostCharacters) continue;
      characters += uri.length;
      found.set(some[i].key, uri);
    }
    onDone(Math.min(wanted.length, start + together));
  }
  return found;
}

async function thumbnailOf(source: ImageSource, split: Split, index: number): Promise<string | undefined> {
  const image = await decoded(await withBytes(source.images(split).at(index)), { svgEdge: side });
  return "failed" in image ? undefined : thumbnailUri(image, side);
}
