import { totalmem } from "node:os";
import type { Command } from "commander";
import { givenForm } from "../encoder/model-form.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import type { StepProfile } from "../jobs/profile.ts";
import { formatMany, formatPercent } from "./format.ts";
import { requireEffect } from "./no-effect.ts";
import { commonOptions, encoderForms, integer, runOptions } from "./options.ts";
import { hubParams, printJson, type RunOptions, runJob } from "./run.ts";
import { formatTable } from "./table.ts";

interface ProfileOptions extends RunOptions {
  readonly images: number;
  readonly classes?: number;
  readonly steps: number;
  readonly top: number;
}

export function addProfile(program: Command): void {
  const command = program
    .command("profile")
    .summary("show where the time of a step goes")
    .description(
      "Runs a few distillation steps against random features and shows what they spend their time on: the parts " +
        "of a step, and the dearest operators and nodes of the encoder's forward and pullback.",
    )
    .argument("[model]", encoderForms, defaultEncoder)
    .option("--images <n>", "synthetic images", integer(2), 8)
    .option("--classes <n>", "classes that they are of (default: one an image)", integer(2))
    .option("--steps <n>", "steps to measure", integer(1), 5)
    .option("--top <n>", "operators and nodes to show", integer(1), 10);
  commonOptions(runOptions(command));
  command.action(async (encoder: string, options: ProfileOptions) => {
    requireEffect([encoder], options);
    const { feature, pool, size, resize, device, precision, threads, images, classes, steps } = options;
    const memoryBytes = options.memory ?? totalmem() / 4;
    const run = {
      ...{ feature, pool, size, resize, device, precision, threads },
      ...givenForm(options),
      ...hubParams(options),
    };
    const found = await runJob("profile", { encoder, ...run, images, classes, steps, memoryBytes }, options);
    process.stdout.write(`${describeProfile(found, options.top)}\n`);
    if (options.json) {
      const { ops, nodes, ...rest } = found;
      printJson({ ...rest, ops: ops.slice(0, options.top), nodes: nodes.slice(0, options.top) });
    }
  });
}

/** What else is to be known of operators on a card. */
function cardNotes({ device, nodes }: StepProfile): string[] {
  if (device === "cpu") return [];
  const others = [...new Set(nodes.filter((node) => node.onProcessor).map(({ op }) => op))];
  const where = others.length === 0 ? "All ran on the card." : `On the processor: ${others.join(", ")}.`;
  return ["", `${where} Times are those of starting a card's programs.`];
}

const milliseconds = (ms: number): string => ms.toFixed(ms < 9.995 ? 2 : 1);

function describeProfile(found: StepProfile, top: number): string {
  const stages = found.stages.map(({ name, ms, share }) => [name, milliseconds(ms), formatPercent(share)]);
  const ops = found.ops
    .slice(0, top)
    .map(({ op, forward, pullback, ms, share }) => [
      op,
      String(forward),
      String(pullback),
      milliseconds(ms),
      formatPercent(share),
    ]);
  const outside = found.outsideMs / found.encoderMs;
  ops.push(["(outside of operators)", "", "", milliseconds(found.outsideMs), formatPercent(outside)]);
  const nodes = found.nodes
    .slice(0, top)
    .map(({ pass, op, node, dims, ms, share }) => [
      pass,
      op,
      node,
      dims.join("×"),
      milliseconds(ms),
      formatPercent(share),
    ]);
  return [
    `${found.encoder}, ${found.size} px, ${found.images} images of ${found.classes} classes, ${found.batch} a call,`,
    `intermediates ${found.activations === "save" ? "kept" : "recomputed"}; ${found.device}, ` +
      `${formatMany(found.threads, "thread")}, mean of ${formatMany(found.steps, "step")}, profiler on`,
    "",
    formatTable(
      ["part of a step", "ms", "share"],
      [...stages, ["step", milliseconds(found.stepMs), formatPercent(1)]],
    ),
    "",
    `Choosing target features every so many steps adds ${milliseconds(found.targetsMs)} ms a step in the mean.`,
    "",
    `Encoder, forward and pullback: ${milliseconds(found.encoderMs)} ms. The dearest operators:`,
    "",
    formatTable(["operator", "forward", "pullback", "ms", "share"], ops),
    ...cardNotes(found),
    "",
    "The dearest nodes, as ONNX Runtime fused them:",
    "",
    formatTable(["pass", "operator", "node", "output", "ms", "share"], nodes),
  ].join("\n");
}
