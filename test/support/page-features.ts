import type { Page } from "playwright-core";
import { downloadedZip } from "../../bench/lib/app-page.ts";
import { relativeError } from "../../bench/lib/measure.ts";
import type { LoadedEncoder } from "../../src/index.ts";
import { recordsOf } from "../../web/engine/records.ts";

/** A record of an image in a project's journal, or of its class. */
interface Change {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly classId: string;
  readonly thumbnail: { readonly bytes: number };
}

/** Features of the images in the open project, by class and name, from the file that it is saved to. */
async function featuresIn(page: Page): Promise<Map<string, Float32Array>> {
  const saved = await downloadedZip(page, "Save project to a file");
  const classes = new Map<string, string>();
  const found = new Map<string, Float32Array>();
  for (const { json, bytes } of recordsOf(saved["clp-dd-project"]!)) {
    const change = json as Change;
    if (change.kind === "class") classes.set(change.id, change.name);
    if (change.kind !== "image") continue;
    const features = new Float32Array(bytes.slice(change.thumbnail.bytes).buffer);
    found.set(`${classes.get(change.classId)}/${change.name}`, features);
  }
  return found;
}

/**
 * The largest ‖theirs − ours‖ / ‖ours‖ of the features that the page has of the images of its project, and an encoder in Node
 * of the same files.
 * @param drawings every image of the project: its path when it was dropped, and a file with the same bytes
 * @throws Error where the page has other images
 */
export async function largestDifference(
  page: Page,
  encoder: LoadedEncoder,
  drawings: readonly { readonly path: string; readonly file: string }[],
): Promise<number> {
  const kept = await featuresIn(page);
  if (kept.size !== drawings.length) throw new Error(`The page has ${kept.size} images.`);
  const { data } = await encoder.encode(drawings.map(({ file }) => file));
  const differences = drawings.map(({ path }, i) => {
    const theirs = kept.get(path.split("/").slice(-2).join("/"));
    if (theirs === undefined) throw new Error(`The page has no ${path}.`);
    return relativeError(theirs, data.subarray(i * encoder.featureSize, (i + 1) * encoder.featureSize));
  });
  return Math.max(...differences);
}
