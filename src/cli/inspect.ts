import type { Command } from "commander";
import { givenForm } from "../encoder/model-form.ts";
import { requireEffect } from "./no-effect.ts";
import {
  addCommonOptions,
  addOptions,
  type CommonOptions,
  encoderForms,
  type FormOptions,
  formNames,
  type HubOptions,
  hubNames,
} from "./options.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

export function addInspect(command: Command): void {
  command
    .description(
      "Lists a model's inputs, the tensors that can serve as features, and its operators with their rules.",
    )
    .argument("<model>", encoderForms);
  addOptions(command, ["size", ...formNames, "memory", ...hubNames], {
    size: { text: "side of the input where the model leaves it open" },
  });
  addCommonOptions(command);
  command.action(
    async (
      encoder: string,
      options: CommonOptions & HubOptions & FormOptions & { size?: number; memory?: number },
    ) => {
      requireEffect([encoder], options);
      const found = await runJob(
        "inspect",
        {
          encoder,
          size: options.size,
          memoryBytes: options.memory,
          ...givenForm(options),
          ...hubParams(options),
        },
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
      print(
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
    },
  );
}
