import type { Command } from "commander";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { requireEffect } from "./no-effect.ts";
import { commonOptions, encoderForms, formOptions, hubOptions, integer } from "./options.ts";
import { type CommonOptions, type HubOptions, hubParams, printJson, runJob } from "./run.ts";
import { formatTable } from "./table.ts";

export function addInspect(program: Command): void {
  const command = program
    .command("inspect")
    .summary("show what a model offers as an encoder")
    .description(
      "Lists a model's inputs, the tensors that can serve as features, and its operators with their rules.",
    )
    .argument("<model>", encoderForms)
    .option("--size <px>", "side of the input where the model leaves it open", integer(8));
  commonOptions(formOptions(hubOptions(command)));
  type InspectOptions = CommonOptions & HubOptions & ModelForm & { size?: number };
  command.action(async (encoder: string, options: InspectOptions) => {
    requireEffect([encoder], options);
    const found = await runJob(
      "inspect",
      { encoder, size: options.size, ...givenForm(options), ...hubParams(options) },
      options,
    );
    const inputs = found.inputs.map(
      (i) => `${i.name} ${i.dtype} [${i.dims.map((d) => d || "?").join(", ")}]`,
    );
    const candidates = found.candidates.map((c) => [
      c.chosen ? "*" : "",
      c.name,
      `[${c.dims.join(", ")}]`,
      c.missing.length === 0 ? "yes" : `no: ${c.missing.join(", ")}`,
    ]);
    const ops = found.ops.map(({ op, count, rule }) => [op, String(count), rule ? "yes" : "no"]);
    process.stdout.write(
      `${[
        `${found.id}: opset ${found.opset}, ${(found.parameters / 1e6).toFixed(2)} million parameters`,
        `inputs: ${inputs.join("; ")}`,
        "",
        formatTable(["", "feature tensor", "shape", "differentiable"], candidates),
        `* taken unless --feature names another: ${found.reason}`,
        "",
        formatTable(["operator", "nodes", "pullback rule"], ops, { align: ["left", "right", "left"] }),
      ].join("\n")}\n`,
    );
    if (options.json) printJson(found);
  });
}
