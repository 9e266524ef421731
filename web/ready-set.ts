import type { ImageLicense } from "./engine/protocol.ts";
import { addFiles, classNamed } from "./state.ts";

/** `ready/emoji.json`: tiles of a picture, row by row. */
interface ReadySet {
  readonly side: number;
  readonly columns: number;
  readonly license: ImageLicense;
  readonly tiles: readonly { readonly class: string; readonly name: string }[];
}

async function fetched(name: string): Promise<Response> {
  const response = await fetch(new URL(`./ready/${name}`, document.baseURI));
  if (response.ok) return response;
  throw new Error(`ready/${name} could not be fetched (${response.status}). Reload the page.`);
}

/** Adds the drawings of the ready set to classes of its names. */
export async function addReadySet(): Promise<void> {
  const { side, columns, license, tiles } = (await (await fetched("emoji.json")).json()) as ReadySet;
  const picture = await createImageBitmap(await (await fetched("emoji.webp")).blob());
  const files = await Promise.all(
    tiles.map(async (tile, i) => {
      const [left, top] = [(i % columns) * side, Math.floor(i / columns) * side];
      const content = await createImageBitmap(picture, left, top, side, side);
      return { classId: classNamed(tile.class), name: tile.name, content, license };
    }),
  );
  picture.close();
  addFiles(files);
}
