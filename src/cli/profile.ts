import { totalmem } from "node:os";
import type { Command } from "commander";
import { givenForm } from "../encoder/model-form.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import { formatMany, formatPercent } from "../format.ts";
import type { StepProfile } from "../jobs/step-profile.ts";
import { requireEffect } from "./no-effect.ts";
import {
  addCommonOptions,
  addOptions,
  encoderForms,
  hubNames,
  ownOption,
  type RunOptions,
  runNames,
} from "./options.ts";
import { integer } from "./parse.ts";
import { hubParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

interface ProfileOptions extends RunOptions {
  readonly images: number;
  readonly classes?: number;
  readonly steps: number;
  readonly top: number;
}

export function addProfile(command: Command): void {
  const measured = "Measured:";
  command
    .description(
      "Runs a few distillation steps against random features and shows what they spend their time on: the parts " +
        "of a step, and the most expensive operators and nodes of the encoder's forward and pullback.",
    )
    .argument("[model]", encoderForms, defaultEncoder)
    .addOption(ownOption("--images <n>", "synthetic images", measured).argParser(integer(2)).default(8))
    .addOption(
      ownOption("--classes <n>", "their classes (default: one per image)", measured).argParser(integer(2)),
    )
    .addOption(ownOption("--steps <n>", "steps to measure", measured).argParser(integer(1)).default(5))
    .addOption(
      ownOption("--top <n>", "operators and nodes to show", measured).argParser(integer(1)).default(10),
    );
  addOptions(command, [...runNames, ...hubNames]);
  addCommonOptions(command);
  command.action(async (encoder: string, options: ProfileOptions) => {
    requireEffect([encoder], options);
    const { feature, pool, size, resize, device, precision, threads, images, classes, steps } = options;
    const memoryBytes = options.memory ?? totalmem() / 4;
    const run = {
      feature,
      pool,
      size,
      resize,
      device,
      precision,
      threads,
      ...givenForm(options),
      ...hubParams(options),
    };
    const found = await runJob("profile", { encoder, ...run, images, classes, steps, memoryBytes }, options);
    print(`${describeProfile(found, options.top)}\n`);
    if (options.json) {
      const { ops, nodes, ...rest } = found;
      printJson({ ...rest, ops: ops.slice(0, options.top), nodes: nodes.slice(0, options.top) });
    }
  });
}

/** What else there is to know about operators on a GPU. */
function gpuNotes({ device, nodes }: StepProfile): string[] {
  if (device === "cpu") return [];
  const others = [...new Set(nodes.filter((node) => node.onProcessor).map(({ op }) => op))];
  const where = others.length === 0 ? "All ran on the GPU." : `On the CPU: ${others.join(", ")}.`;
  return ["", `${where} Times are those of starting the GPU's kernels.`];
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
    `${found.encoder}, ${found.size} px, ${found.images} images of ${found.classes} classes, ${found.batch} per call,`,
    `intermediates ${found.activations === "save" ? "kept" : "recomputed"}; ${found.device}, ` +
      `${formatMany(found.threads, "thread")}, mean of ${formatMany(found.steps, "step")}, profiler on`,
    "",
    formatTable(
      ["part of a step", "ms", "share"],
      [...stages, ["step", milliseconds(found.stepMs), formatPercent(1)]],
    ),
    "",
    `Choosing target features every so many steps adds ${milliseconds(found.targetsMs)} ms per step on average.`,
    "",
    `Encoder, forward and pullback: ${milliseconds(found.encoderMs)} ms. The most expensive operators:`,
    "",
    formatTable(["operator", "forward", "pullback", "ms", "share"], ops),
    ...gpuNotes(found),
    "",
    "The most expensive nodes, as ONNX Runtime fused them:",
    "",
    formatTable(["pass", "operator", "node", "output", "ms", "share"], nodes),
  ].join("\n");
}
