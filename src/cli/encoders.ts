import type { Command } from "commander";
import { userHub } from "../files/hub/settings.ts";
import { type ListedEncoder, listEncoders } from "../jobs/encoders.ts";
import { addCommonOptions, addOptions, type CommonOptions, type HubOptions, hubNames } from "./options.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

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
