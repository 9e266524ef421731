import type { Command } from "commander";
import { DataError } from "../errors.ts";
import { formatCount } from "../format.ts";
import { type RunReport, reportRuns } from "../machines/list.ts";
import { addCommonOptions, type CommonOptions, ownOption } from "./options.ts";
import { number } from "./parse.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

interface RunsOptions extends CommonOptions {
  readonly patience: number;
}

async function showRuns(address: string, options: RunsOptions): Promise<void> {
  const runs = await reportRuns(address, options.patience);
  if (options.json) {
    printJson(runs);
    return;
  }
  if (runs.length === 0)
    throw new DataError("The server knows no such run. It forgets runs that ended a day ago.");
  print(`${runs.map(inWords).join("\n")}`);
}

const rate = (value: number | null): string => (value === null ? "–" : value.toPrecision(3));

/** A run and its workers, in 80 columns. */
function inWords(run: RunReport): string {
  const facts = [
    `step ${formatCount(run.step)} of ${formatCount(run.steps)}`,
    ...(run.loss === null ? [] : [`loss ${run.loss.toFixed(3)}`]),
    ...(run.imagesPerSecond === null ? [] : [`${rate(run.imagesPerSecond)} images/s`]),
  ];
  const shards = [
    `${formatCount(run.images)} images in ${formatCount(run.shards)} shards`,
    ...(run.unownedShards > 0 ? [`${formatCount(run.unownedShards)} without a worker`] : []),
    `checkpoint at step ${formatCount(run.checkpoint)}`,
  ];
  const table = formatTable(
    ["worker", "doing", "step", "shards", "images/s", "waits s", ""],
    run.workers.map((worker) => [
      ...[worker.name, worker.doing, formatCount(worker.step), formatCount(worker.shards)],
      ...[rate(worker.imagesPerSecond), rate(worker.waitSeconds), worker.slow ? "slow" : ""],
    ]),
    { align: ["left", "left", "right", "right", "right", "right", "left"] },
  );
  const cpus = new Set(run.workers.map(({ cpu }) => cpu));
  return [
    `${run.name}: ${run.state}, ${facts.join(", ")}`,
    `  ${shards.join(", ")}`,
    `  ${run.out}`,
    ...(run.workers.length > 0 ? ["", table] : []),
    ...(cpus.size > 1 ? ["", `CPUs of different types: ${[...cpus].join("; ")}.`] : []),
    "",
    "",
  ].join("\n");
}

export function addRuns(command: Command): void {
  command
    .usage("<url> [options]")
    .description(
      "Shows the runs of several machines (distill --join): step, loss, workers, shards, images per second, and who " +
        "is slow.",
    )
    .argument("<url>", "redis://HOST:PORT/RUN, or redis://HOST:PORT for all runs of the server")
    .addOption(
      ownOption("--patience <s>", "seconds for which the server may be silent", "Running:")
        .argParser(number({ exclusiveMinimum: 0 }, false))
        .default(10),
    );
  addCommonOptions(command);
  command.action(showRuns);
}
