import { type Command, Option } from "commander";
import { formatPercent } from "../format.ts";
import { explainMethods } from "../jobs/params.ts";
import { printSkipped, requireImageFiles, requireReadable } from "./given-files.ts";
import { addCommonOptions, addOptions, type CommonOptions, ownOption, type Values } from "./options.ts";
import { makeFolder } from "./output-file.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

const methods = [...explainMethods, "both"] as const;

type ExplainOptions = CommonOptions &
  Values<"out" | "dtype" | "hubCache" | "device" | "precision" | "threads" | "memory"> & {
    readonly encoder?: string;
    readonly method: (typeof methods)[number];
    readonly tensor?: string;
    readonly class?: string;
  };

export function addExplain(command: Command): void {
  const explanation = "Explanation:";
  command
    .usage("<out> [photo...] [options]")
    .description(
      "Shows what in each image speaks for its class, as a picture: Grad-CAM (which places of the encoder's last map), or " +
        "gradient × input (which pixels). Pictures are new files; nothing is overwritten.",
    )
    .argument("<out>", "folder that `clp-dd distill` or `clp-dd baseline` wrote")
    .argument("[photo...]", "files, folders, patterns, or - for a list on standard input, one per line")
    .addOption(
      new Option("--method <name>", "what is drawn")
        .choices(methods)
        .default("grad-cam")
        .helpGroup(explanation),
    )
    .addOption(
      ownOption("--class <name>", "explain this class (default: the likeliest of each image)", explanation),
    )
    .addOption(
      ownOption(
        "--tensor <name>",
        "tensor of the encoder that Grad-CAM looks at (default: its last map of the image)",
        explanation,
      ),
    )
    .addOption(
      ownOption("--encoder <name|path>", "where the set's encoder is now, if not where it was", "Encoder:"),
    );
  addOptions(command, ["dtype", "hubCache", "device", "precision", "threads", "memory", "out"], {
    out: { text: "folder for the pictures", usual: "explained" },
  });
  addCommonOptions(command, { json: { text: "print one line of JSON for each image instead of a table" } });
  command.action(async (set: string, given: string[], options: ExplainOptions) => {
    const files = await requireImageFiles(given);
    const { out, encoder, device, precision, threads, memory, tensor, class: className } = options;
    await makeFolder("--out", out);
    const found = await runJob(
      "explain.pictures",
      {
        ...{ set, images: files, out, encoder, device, precision, threads, tensor, class: className },
        memoryBytes: memory,
        methods: options.method === "both" ? explainMethods : [options.method],
        ...hubParams(options),
      },
      options,
    );
    const rows: string[][] = [];
    for (const image of found.images) {
      if ("unreadable" in image) {
        printSkipped(image);
        continue;
      }
      if (options.json) printJson({ ...image, tensor: found.tensor.name });
      const { class: label, score, probability, gradCam, gradientTimesInput } = image;
      const confidence = probability === undefined ? score.toFixed(3) : formatPercent(probability);
      const pictures = [gradCam, gradientTimesInput].filter((path) => path !== undefined);
      rows.push([image.image, label, confidence, pictures.join(", ")]);
    }
    requireReadable(rows.length, files.length);
    if (options.json) return;
    const table = formatTable(["image", "class", "probability", "picture"], rows, {
      align: ["left", "left", "right", "left"],
    });
    const { name, shown } = found.tensor;
    print(
      `${table}\n\n${options.method === "gradient" ? "" : `Grad-CAM at ${name}, ${shown.startsWith("map") ? "a " : ""}${shown}\n`}`,
    );
  });
}
