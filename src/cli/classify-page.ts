import { writeFile } from "node:fs/promises";
import { classificationPage, type ShownPhoto } from "../explain/page.ts";
import type { Classifications, ClassifiedImage } from "../jobs/classify.ts";
import type { Explanation } from "../jobs/explain.ts";
import type { JobParams } from "../jobs/job-table.ts";
import type { CommonOptions } from "./options.ts";
import { runJob } from "./run.ts";

/** Photos on a page, at most: each takes some 100 kB. */
const mostPhotos = 200;

/** Writes the page of a classification: photos, classes, and what speaks for them. */
export async function writeClassificationPage(
  file: string,
  { images }: Classifications,
  params: Omit<JobParams<"explain">, "images">,
  options: CommonOptions,
): Promise<void> {
  const classified = images.flatMap((image) => ("unreadable" in image ? [] : [image]));
  const unreadable = images.flatMap((image) =>
    "unreadable" in image ? [{ image: image.image, reason: image.unreadable }] : [],
  );
  const shown = classified.slice(0, mostPhotos);
  const explained =
    shown.length === 0
      ? undefined
      : await runJob("explain", { ...params, images: shown.map(({ image }) => image) }, options);
  const photos = shown.flatMap((image, i) => {
    const explanation = explained?.images[i];
    return explanation === undefined || "unreadable" in explanation ? [] : [photoOf(image, explanation)];
  });
  const tensor = explained
    ? `${explained.tensor.name}, ${explained.tensor.shown.startsWith("map") ? "a " : ""}${explained.tensor.shown}`
    : "";
  const page = classificationPage({ set: params.set, photos, total: classified.length, unreadable, tensor });
  await writeFile(file, page, { flush: true });
}

function photoOf(image: ClassifiedImage, { view, overlays }: Explanation): ShownPhoto {
  const { class: name, runnersUp, unknown = false } = image;
  return {
    image: image.image,
    class: name,
    unknown,
    ranked: [image, ...runnersUp],
    view,
    overlay: overlays.gradCam,
  };
}
