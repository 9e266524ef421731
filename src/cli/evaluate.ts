import type { Command } from "commander";
import type { Evaluation } from "../evaluate/run-node.ts";
import { formatPercent } from "./format.ts";
import { commonOptions, encoderOptions } from "./options.ts";
import { type EncoderOptions, encoderParams, printJson, runJob } from "./run.ts";
import { formatTable } from "./table.ts";

export function addEvaluate(program: Command): void {
  const command = program
    .command("evaluate")
    .summary("measure a distilled set on real test images")
    .description(
      "Measures the closed-form probe of one or more distilled sets on the test images of --data. Under another\n" +
        "--encoder than the one it was distilled with, the probe is solved anew from the images.",
    )
    .argument("<out...>", "folders that `clp-dd distill` wrote")
    .requiredOption("--data <dir>", "folder of images, or an embedded set");
  commonOptions(encoderOptions(command));
  command.action(async (artifacts: string[], options: EncoderOptions & { data: string }) => {
    const asked = command.getOptionValueSource("encoder") === "cli";
    const results = await runJob<Evaluation[]>(
      "evaluate",
      { ...encoderParams(options), ...(asked ? {} : { encoder: undefined }), artifacts, data: options.data },
      options,
    );
    const rows = results.map((r) => [
      r.artifact,
      r.encoder,
      formatPercent(r.metrics.top1),
      String(r.metrics.count),
    ]);
    process.stdout.write(
      `${formatTable(["distilled set", "encoder", "top-1", "images"], rows, { align: ["left", "left", "right", "right"] })}\n`,
    );
    if (options.json) {
      printJson(
        results.map(({ artifact, encoder, distilledWith, metrics }) => ({
          artifact,
          encoder,
          distilledWith,
          ...metrics,
        })),
      );
    }
  });
}
