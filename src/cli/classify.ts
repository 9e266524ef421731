import type { Command } from "commander";
import { DataError, messageOf } from "../errors.ts";
import { formatMany, formatPercent } from "../format.ts";
import type { Classification, Classifications, ClassifiedImage, RankedClass } from "../jobs/classify.ts";
import { writeClassificationPage } from "./classify-page.ts";
import { csv } from "./csv.ts";
import { printSkipped, requireImageFiles, requireReadable } from "./given-files.ts";
import { addCommonOptions, addOptions, type CommonOptions, ownOption, type Values } from "./options.ts";
import { makeFolder, requireWritableFile } from "./output-file.ts";
import { integer } from "./parse.ts";
import { hubParams, runJob } from "./run.ts";
import { sortFiles } from "./sort-files.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

type ClassifyOptions = CommonOptions &
  Values<"dtype" | "hubCache" | "device" | "precision" | "threads" | "memory"> & {
    readonly encoder?: string;
    readonly top: number;
    readonly csv?: boolean;
    readonly html?: string;
    readonly moveTo?: string;
    readonly copyTo?: string;
  };

export function addClassify(command: Command): void {
  const sorting = "Sorting files:";
  command
    .usage("<out> [photo...] [options]")
    .description(
      "Names the class of each image by the probe of a set and the encoder that the set was made with: the class, its " +
        "probability, and the runners-up. Images that are newer to the encoder and the probe than " +
        "95 % of the training images are marked as perhaps none of these. Images that cannot be read are named and skipped.",
    )
    .argument("<out>", "folder that `clp-dd distill` or `clp-dd baseline` wrote")
    .argument("[photo...]", "files, folders, patterns, or - for a list on standard input, one per line")
    .addOption(
      ownOption("--top <n>", "classes to show for each image", "Output:").argParser(integer(1)).default(3),
    )
    .addOption(
      ownOption("--csv", "print comma-separated values instead of a table", "Output:").conflicts("json"),
    )
    .addOption(
      ownOption(
        "--html <file>",
        "write a page with the photos, their classes and what in them speaks for these (see `clp-dd explain`)",
        "Output:",
      ),
    )
    .addOption(
      ownOption("--move-to <dir>", "move the files into a folder per class; nothing is overwritten", sorting),
    )
    .addOption(
      ownOption("--copy-to <dir>", "copy the files into a folder per class", sorting).conflicts("moveTo"),
    )
    .addOption(
      ownOption(
        "--encoder <name|path>",
        "which of the set's encoders, as name or name@size (default: the first); or where that one is now",
        "Encoder:",
      ),
    );
  addOptions(command, ["dtype", "hubCache", "device", "precision", "threads", "memory"]);
  addCommonOptions(command, { json: { text: "print one line of JSON for each image instead of a table" } });
  command.action(async (set: string, given: string[], options: ClassifyOptions) => {
    const files = await requireImageFiles(given);
    if (options.html !== undefined) await requireWritableFile("--html", options.html);
    const root = options.moveTo ?? options.copyTo;
    if (root !== undefined) await makeFolder(options.moveTo ? "--move-to" : "--copy-to", root);
    const { encoder, device, precision, threads, memory: memoryBytes, top } = options;
    const run = { set, encoder, device, precision, threads, memoryBytes, ...hubParams(options) };
    const found = await runJob("classify", { ...run, images: files, runnersUp: top - 1 }, options);
    // Before files are moved.
    if (options.html !== undefined) await writeClassificationPage(options.html, found, run, options);
    const places = root === undefined ? new Map<string, string>() : await sorted(found, root, options);
    printPredictions(found, places, options);
    const unreadable = found.images.flatMap((image) => ("unreadable" in image ? [image] : []));
    for (const image of unreadable) printSkipped(image);
    requireReadable(files.length - unreadable.length, files.length);
  });
}

/** Moves or copies what was classified; those of none of the classes go into a folder "unknown". */
async function sorted(
  { images, classes, folders }: Classifications,
  root: string,
  options: ClassifyOptions,
): Promise<Map<string, string>> {
  const unknown = classes.includes("unknown") ? "none of the classes" : "unknown";
  const classified = images.filter(isClassified);
  const files = classified.map((image) => ({
    file: image.image,
    folder: image.unknown ? unknown : folders[image.index],
  }));
  try {
    const places = await sortFiles(files, root, options.moveTo === undefined ? "copy" : "move");
    return new Map(classified.map(({ image }, i) => [image, places[i]]));
  } catch (error) {
    throw new DataError(
      `Sorting files into ${root} failed: ${messageOf(error)}. Files that were sorted before stay there.`,
      { cause: error },
    );
  }
}

const isClassified = (image: Classification): image is ClassifiedImage => !("unreadable" in image);

function printPredictions(
  { images, seconds }: Classifications,
  places: ReadonlyMap<string, string>,
  options: ClassifyOptions,
): void {
  if (options.json) {
    for (const image of images) {
      const place = places.get(image.image);
      printJson(place === undefined ? image : { ...image, file: place });
    }
    return;
  }
  const classified = images.filter(isClassified);
  if (options.csv) {
    const head = ["image", "class", "probability", "score", "unknown", "runner-up", "runner-up probability"];
    const rows = classified.map(({ image, runnersUp: [next], ...own }) => [
      ...[image, own.class, own.probability, own.score, own.unknown],
      ...[next?.class, next?.probability],
    ]);
    print(csv([head, ...rows]));
    return;
  }
  const rows = classified.map((image) => [
    image.image,
    image.unknown ? `none of these (${image.class}?)` : image.class,
    confidence(image),
    image.runnersUp.map((other) => `${other.class} ${confidence(other)}`).join(", "),
  ]);
  if (rows.length === 0) return;
  const head = ["image", "class", classified[0].probability === undefined ? "score" : "probability", "or"];
  const align = ["left", "left", "right", "left"] as const;
  const rate = `${formatMany(images.length, "image")} in ${seconds.toFixed(1)} s`;
  print(`${formatTable(head, rows, { align })}\n\n${rate}\n`);
}

const confidence = ({ probability, score }: RankedClass): string =>
  probability === undefined ? score.toFixed(3) : formatPercent(probability);
