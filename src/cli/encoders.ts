import type { Command } from "commander";
import { userCache } from "../files/cache-location.ts";
import { userHub } from "../files/hub/settings.ts";
import { formatMany } from "../format.ts";
import { type ListedEncoder, listEncoders } from "../jobs/encoders.ts";
import {
  addCommonOptions,
  addOptions,
  addRequired,
  type CommonOptions,
  dataForms,
  type HubOptions,
  hubNames,
  ownOption,
  type Values,
} from "./options.ts";
import { integer } from "./parse.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

type AlignOptions = CommonOptions &
  HubOptions &
  Values<"size" | "resize" | "device" | "threads" | "memory" | "maxBad" | "cacheDir"> & {
    readonly data: string;
    readonly neighbors: number;
    readonly images: number;
  };

export function addEncoders(command: Command): void {
  command.description(
    "Lists the encoders that have a name: length of the feature, input in pixels, license of the weights, and " +
      "whether the files are there. --encoder also takes owner/name of the Hugging Face hub, a folder with " +
      "config.json and model.safetensors (or onnx/model.onnx), and any .onnx file.",
  );
  addOptions(command, ["hubCache", "json"]);
  command.action(async (options: { json?: boolean; hubCache?: string }) => {
    const listed = await listEncoders(userHub(options.hubCache));
    print(`${tableOf(listed)}\n`);
    if (options.json) printJson(listed);
  });
  addAlign(command);
  const fetch = command
    .command("fetch")
    .description(
      "Downloads encoders into the hub's cache, resuming what was cut off, and checks them against their hashes. " +
        "Afterwards they work without a network.",
    )
    .argument("<name...>", "names of the list, or owner/name of the hub");
  addOptions(fetch, hubNames);
  addCommonOptions(fetch);
  fetch.action(async (encoders: string[], _: unknown, self: Command) => {
    // The list has options of the same names, which take what stands before `fetch`.
    const options = self.optsWithGlobals<CommonOptions & HubOptions>();
    const fetched = await runJob("fetch", { encoders, ...hubParams(options) }, options);
    for (const { name, commit, folder } of fetched) {
      print(`${name}: commit ${commit.slice(0, 12)} in ${folder}\n`);
    }
    if (options.json) printJson(fetched);
  });
}

const percent = (share: number): string => (100 * share).toFixed(1);

function addAlign(command: Command): void {
  const align = command
    .command("align")
    .usage("<encoder> <encoder...> --data <dir> [options]")
    .description(
      "Says how alike encoders see the training images of --data: the mean share of an image's nearest neighbors that " +
        "two encoders agree on (mutual k-nearest neighbors), from cached features (docs/several-encoders.md).",
    )
    .argument("<encoder...>", "NAME, NAME@SIZE or NAME@SIZE#TENSOR, each");
  addRequired(align, ownOption("--data <dir>", dataForms, "Data:"));
  const group = "Alignment:";
  align
    .addOption(
      ownOption("--neighbors <n>", "neighbors of each image", group).argParser(integer(1)).default(10),
    )
    .addOption(
      ownOption("--images <n>", "training images, drawn at random", group)
        .argParser(integer(2))
        .default(2000),
    );
  addOptions(align, ["size", "resize", "device", "threads", "memory", "dtype", "cacheDir", "maxBad"]);
  addCommonOptions(align);
  align.action(async (encoders: string[], _: unknown, self: Command) => {
    const options = self.optsWithGlobals<AlignOptions>();
    const { size, resize, device, threads, memory, maxBad, data, neighbors, images } = options;
    const cacheFolder = options.cacheDir ?? userCache();
    const run = { device, threads, memoryBytes: memory, maxBad, cacheFolder };
    const machine = { size, resize, ...run, ...hubParams(options) };
    const found = await runJob("align", { ...machine, data, neighbors, images, encoders }, options);
    const rows = found.pairs.map((pair) => [
      ...pair.encoders,
      `${percent(pair.alignment)} ± ${percent(pair.error)}`,
      percent(pair.chance),
    ]);
    const table = formatTable(["encoder", "encoder", "alignment, %", "chance, %"], rows, {
      align: ["left", "left", "right", "right"],
    });
    print(
      `${table}\n\nShare of ${found.neighbors} nearest neighbors in common, mean ± standard error over ` +
        `${formatMany(found.images, "training image")} of ${found.data}.\n`,
    );
    if (options.json) printJson(found);
  });
}

function tableOf(encoders: readonly ListedEncoder[]): string {
  const rows = encoders.map(({ name, featureSize, input, license, present, hub }) => [
    ...[name, String(featureSize), String(input), license],
    hub === undefined ? "in the package" : present ? "yes" : "no",
  ]);
  const table = formatTable(["name", "feature", "input", "license", "present"], rows, {
    align: ["left", "right", "right", "left", "left"],
  });
  return `${table}\n\nFetched when first used, or by \`clp-dd encoders fetch NAME\`.`;
}
