import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../files/disk.ts";
import { edits } from "../images/edits.ts";
import type { ArtifactContent } from "./content.ts";
import type { EditedThumbnail } from "./pages/report.ts";

/** Images embedded in the report, at most, and the side that many of them are shrunk to. */
const reportImages = 200;
const manyImages = 32;
const thumbnailSide = 96;
/** Images that the report shows after each edit, of as many classes. */
const editedImages = 2;

/** What was written of the images, and what the report shows of them. */
export interface WrittenImages {
  /** The hash of each file. */
  readonly files: Record<string, string>;
  readonly thumbnails: readonly { readonly className: string; readonly dataUri: string }[];
  readonly edited: readonly EditedThumbnail[];
}

/** Writes the images as PNGs, `images/<class>/<n>.png`, one chunk in memory at a time. */
export async function writeImages(
  folder: string,
  content: ArtifactContent,
  folders: readonly string[],
): Promise<WrittenImages> {
  const { classes, imageSize: size } = content.manifest;
  const files: Record<string, string> = {};
  // Loaded when needed, as the report is: together they take 40 MB.
  const { default: sharp } = await import("sharp");
  const dataUriOf = async (images: Float32Array, shrunk: boolean): Promise<string> => {
    const raw = { width: size, height: size, channels: 3 } as const;
    const image = sharp(interleaved(images), { raw });
    const png = await (shrunk ? image.resize(thumbnailSide) : image).png().toBuffer();
    return `data:image/png;base64,${png.toString("base64")}`;
  };
  const edited: EditedThumbnail[] = [];
  const thumbnails: { className: string; dataUri: string }[] = [];
  const numbers = new Int32Array(classes.length);
  const every = Math.ceil(content.labels.length / reportImages);
  const small = content.labels.length > manyImages && size > thumbnailSide;
  const measured = new Set(content.manifest.metrics.edits?.each.map(({ name }) => name));
  for await (const { start, count, images } of content.images()) {
    for (let i = 0; i < count; i++) {
      const label = content.labels[start + i];
      const first = label < editedImages && numbers[label] === 0;
      for (const edit of first ? edits.filter(({ name }) => measured.has(name)) : []) {
        const image = images.slice(i * 3 * size * size, (i + 1) * 3 * size * size);
        const dataUri = await dataUriOf(await edit.apply(image, size, start + i), small);
        edited.push({ edit: edit.name, className: classes[label], dataUri });
      }
      const inside = `images/${folders[label]}/${numbers[label]++}.png`;
      const bytes = interleaved(images.subarray(i * 3 * size * size, (i + 1) * 3 * size * size));
      const png = await sharp(bytes, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      await makeFolders(join(folder, "images", folders[label]));
      await writeFile(join(folder, inside), png);
      files[inside] = createHash("sha256").update(png).digest("hex");
      if ((start + i) % every === 0) {
        const shown = small ? await sharp(png).resize(thumbnailSide).png().toBuffer() : png;
        thumbnails.push({
          className: classes[label],
          dataUri: `data:image/png;base64,${shown.toString("base64")}`,
        });
      }
    }
  }
  return { files, thumbnails, edited };
}

/** Planar floats in [0, 1] as bytes, the three of a pixel side by side. */
function interleaved(planar: Float32Array): Uint8Array {
  const pixels = planar.length / 3;
  const bytes = new Uint8Array(planar.length);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < 3; c++) {
      bytes[p * 3 + c] = Math.round(255 * Math.min(1, Math.max(0, planar[c * pixels + p])));
    }
  }
  return bytes;
}
