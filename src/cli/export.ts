import { type Command, InvalidArgumentError } from "commander";
import { asDtype, type Dtype } from "../encoder/load/choose-onnx.ts";
import { type ExportDtype, exportDtypes } from "../export/storage.ts";
import { formatBytes, formatPercent } from "../format.ts";
import {
  addCommonOptions,
  addOptions,
  type CommonOptions,
  dataForms,
  ownOption,
  type Values,
} from "./options.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

type ExportOptions = CommonOptions &
  Values<"out" | "overwrite" | "hubCache" | "threads" | "memory"> & {
    readonly dtype: readonly ExportDtype[];
    readonly data?: string;
    readonly encoder?: string;
    readonly encoderDtype?: Dtype;
  };

export function addExport(command: Command): void {
  command
    .usage("<out> --out <folder> [options]")
    .description(
      "Writes preprocessing, encoder and probe of a set as one ONNX classifier, in the layout that transformers.js, " +
        "onnxruntime-web and the Hugging Face hub take as it is: from pictures of any size to class scores.",
    )
    .argument("<out>", "folder that `clp-dd distill` or `clp-dd baseline` wrote")
    .addOption(
      ownOption(
        "--dtype <types>",
        "how weights are stored: fp32, fp16 or q8, or several of them, such as q8,fp32; transformers.js takes the first",
        "Export:",
      )
        .argParser(dtypesOf)
        .default(["fp32"], "fp32"),
    )
    .addOption(
      ownOption(
        "--data <data>",
        `compare other types than fp32 with it on up to 500 test images: ${dataForms}`,
        "Export:",
      ),
    )
    .addOption(
      ownOption("--encoder <name|path>", "where the set's encoder is now, if not where it was", "Encoder:"),
    )
    .addOption(
      ownOption(
        "--encoder-dtype <type>",
        "which ONNX file of the encoder's repository is taken: fp32 or fp16",
        "Encoder:",
      )
        .argParser(asDtype)
        .default(undefined, "fp32"),
    );
  addOptions(command, ["hubCache", "threads", "memory", "out", "overwrite"], {
    out: { required: true },
    overwrite: { text: "replace the export that is at --out" },
    threads: { text: "threads that the classifier is tried with" },
  });
  addCommonOptions(command);
  command.action(async (set: string, options: ExportOptions) => {
    const { out, overwrite, dtype: dtypes, data, encoder, threads, memory: memoryBytes } = options;
    const hub = hubParams({ dtype: options.encoderDtype, hubCache: options.hubCache });
    const params = { set, out, overwrite, dtypes, data, encoder, threads, memoryBytes, ...hub };
    const summary = await runJob("export", params, options);
    const rows = summary.files.map(({ dtype, path, bytes }) => {
      const loss = summary.losses.find((own) => own.dtype === dtype);
      const shares = loss
        ? [loss.agreement, loss.top1, loss.exactTop1].map((share) => formatPercent(share))
        : ["", "", ""];
      return [path, dtype, formatBytes(bytes), ...(summary.losses.length > 0 ? shares : [])];
    });
    const measured = summary.losses.length > 0 ? ["same class", "test top-1", "of fp32"] : [];
    const align = ["left", "left", "right", "right", "right", "right"] as const;
    const table = formatTable(["file", "weights", "size", ...measured], rows, {
      align: align.slice(0, 3 + measured.length),
    });
    print(`${table}\n\n${summary.out}\n  README.md says how to use it.\n`);
    if (options.json) printJson(summary);
  });
}

function dtypesOf(text: string): readonly ExportDtype[] {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  const unknown = names.find((name) => !(exportDtypes as readonly string[]).includes(name));
  if (unknown === undefined) return names as ExportDtype[];
  throw new InvalidArgumentError(
    `Expected ${exportDtypes.join(", ")}, or several of them with commas between.`,
  );
}
