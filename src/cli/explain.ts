import { basename, extname } from "node:path";
import { type Command, Option } from "commander";
import { formatPercent } from "../format.ts";
import type { Explanation } from "../jobs/explain.ts";
import { printSkipped, requireImageFiles, requireReadable } from "./given-files.ts";
import { writeNewFile } from "../files/new-file.ts";
import { addCommonOptions, addOptions, type CommonOptions, ownOption, type Values } from "./options.ts";
import { makeFolder } from "./output-file.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

const methods = ["grad-cam", "gradient", "both"] as const;

type ExplainOptions = CommonOptions &
  Values<"out" | "dtype" | "hubCache" | "device" | "precision" | "threads"> & {
    readonly encoder?: string;
    readonly method: (typeof methods)[number];
    readonly tensor?: string;
    readonly class?: string;
  };

/** Photos of one call: results are held until they are written. */
const together = 16;

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
  addOptions(command, ["dtype", "hubCache", "device", "precision", "threads", "out"], {
    out: { text: "folder for the pictures", usual: "explained" },
  });
  addCommonOptions(command, { json: { text: "print one line of JSON for each image instead of a table" } });
  command.action(async (set: string, given: string[], options: ExplainOptions) => {
    const files = await requireImageFiles(given);
    const { out, encoder, device, precision, threads, tensor, class: className } = options;
    await makeFolder("--out", out);
    const common = {
      set,
      encoder,
      device,
      precision,
      threads,
      tensor,
      class: className,
      ...hubParams(options),
    };
    const rows: string[][] = [];
    let shown: string | undefined;
    for (let start = 0; start < files.length; start += together) {
      const images = files.slice(start, start + together);
      const found = await runJob("explain", { ...common, images }, options);
      shown = `${found.tensor.name}, a ${found.tensor.shown}`;
      for (const image of found.images) {
        if ("unreadable" in image) {
          printSkipped(image);
          continue;
        }
        const written = await writeOverlays(image, out, options.method);
        const { class: label, score, probability } = image;
        if (options.json) {
          printJson({
            image: image.image,
            class: label,
            score,
            probability,
            tensor: found.tensor.name,
            ...written,
          });
        }
        const confidence = probability === undefined ? score.toFixed(3) : formatPercent(probability);
        rows.push([image.image, label, confidence, Object.values(written).join(", ")]);
      }
    }
    requireReadable(rows.length, files.length);
    if (options.json) return;
    const table = formatTable(["image", "class", "probability", "picture"], rows, {
      align: ["left", "left", "right", "left"],
    });
    print(`${table}\n\n${options.method === "gradient" ? "" : `Grad-CAM at ${shown}\n`}`);
  });
}

async function writeOverlays(
  { image, overlays }: Explanation,
  folder: string,
  method: ExplainOptions["method"],
): Promise<{ gradCam?: string; gradientTimesInput?: string }> {
  const stem = basename(image, extname(image));
  const write = (name: string, bytes: Uint8Array) => writeNewFile(folder, `${stem}.${name}.png`, bytes);
  return {
    ...(method === "gradient" ? {} : { gradCam: await write("grad-cam", overlays.gradCam) }),
    ...(method === "grad-cam"
      ? {}
      : { gradientTimesInput: await write("gradient", overlays.gradientTimesInput) }),
  };
}
