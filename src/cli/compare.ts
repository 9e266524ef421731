import { join } from "node:path";
import type { Command } from "commander";
import { ClpError, messageOf, UsageError } from "../errors.ts";
import { markdownTable } from "../evaluate/tables.ts";
import { userCache } from "../files/cache-location.ts";
import { replaceFile } from "../files/disk.ts";
import { userHub } from "../files/hub/settings.ts";
import { readBounded } from "../files/read-bounded.ts";
import { settingsText } from "../files/regular-file.ts";
import { formatMany } from "../format.ts";
import { checkedCompareConfig, readGrid } from "../jobs/compare-config.ts";
import { comparisonJson, comparisonRows, comparisonTables, Published } from "../jobs/compare-tables.ts";
import { inFlags } from "./flags.ts";
import { addCommonOptions, addOptions, type CommonOptions, ownOption, type Values } from "./options.ts";
import { makeFolder, unwritten } from "./output-file.ts";
import { runJob } from "./run.ts";
import { describeTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

const shared = ["device", "precision", "threads", "memory", "cacheDir", "maxBad", "hubCache"] as const;

/** A grid of as many cells as may be has a tenth of that. */
const mostGridBytes = 256 * 1024;

type CompareOptions = CommonOptions &
  Values<"out" | (typeof shared)[number]> & { readonly published?: string };

export function addCompare(command: Command): void {
  command
    .usage("<config> --out <folder> [options]")
    .description(
      "Runs every cell of the grid in CONFIG: makes the set (a distillation or a baseline) and evaluates it. " +
        "Finished cells are in OUT/cells; the same command resumes where it was stopped. Writes results.json " +
        "and results.md.",
    )
    .argument("<config>", "the grid, as YAML or JSON");
  addOptions(command, shared, { device: { text: "where encoders run" } });
  addOptions(command, ["out"], { out: { required: true, text: "where cells and tables go" } }).addOption(
    ownOption(
      "--published <file>",
      "published figures to set beside the measured ones (docs/published.json)",
      "Output:",
    ),
  );
  addCommonOptions(command).addHelpText(
    "after",
    `
A grid, with every field there is; only data, encoders and methods are needed:
  {
    "data": ["emoji",
             {"data": "imagenet-100:/imagenet", "published": "ImageNet-100"}],
    "encoders": ["efficientnet-lite0@128",
                 {"encoder": "clip.onnx", "published": "CLIP-B"}],
    "evaluateOn": ["efficientnet-lite0@128", "other.onnx@128"],
    "methods": ["clp", "lgm", "random", "centroid", "full",
                {"name": "clp, 3 draws", "preset": "clp",
                 "config": {"augment": 3}},
                {"baseline": "neighbors", "of": "clp"},
                {"preset": "lgm-paper", "published": "LGM + augmentation"}],
    "ipc": [1, 10],
    "seeds": [0, 1, 2, 3, 4],
    "resize": 128,
    "evaluate": {"probes": ["closed-form", "head", "tuned-head"],
                 "epochs": 1000, "draws": 20, "augmentation": "both",
                 "edits": true, "seeds": [0],
                 "fullEpochs": 1000, "fullSeeds": [0]}
  }`,
  );
  command.action(async (file: string, options: CompareOptions) => {
    const text = await readBounded(file, mostGridBytes).then(String, (error) => {
      throw new UsageError(`The grid ${file} cannot be read: ${messageOf(error)}.`);
    });
    const config = readGrid(text, file);
    checkedCompareConfig(config, file);
    const { out, device, precision, threads, maxBad } = options;
    // Whatever is wrong with these is reported before the cells are run.
    const published = options.published === undefined ? undefined : await readPublished(options.published);
    await makeFolder("--out", out);
    const comparison = await runJob(
      "compare",
      {
        config,
        out,
        device,
        precision,
        threads,
        maxBad,
        memoryBytes: options.memory,
        cacheFolder: options.cacheDir ?? userCache(),
        hub: userHub(options.hubCache),
      },
      options,
    );
    const rows = comparisonRows(comparison.cells, published);
    const tables = comparisonTables(rows, published);
    const json = comparisonJson(comparison, rows);
    const [results, markdown] = [join(out, "results.json"), join(out, "results.md")];
    const problems = await unwritten({
      [results]: replaceFile(results, `${JSON.stringify(json, null, 1)}\n`),
      [markdown]: replaceFile(markdown, tables.map(markdownTable).join("\n")),
    });
    // Where a table is split, probes on augmented images stay side by side.
    const section = (title: string) => title.includes("+aug");
    for (const table of tables) print(`\n${describeTable(table, { section })}\n`);
    if (problems.length === 0) print(`\n${markdown}, ${results}\n`);
    if (options.json) printJson(json);
    const { failures } = comparison;
    if (failures.length > 0) {
      const named = failures.map(({ cell, message }) => `  ${cell}: ${inFlags(message)}`).join("\n");
      const others = comparison.cells.length > 0 ? "; the others are in the tables" : "";
      problems.push(`${formatMany(failures.length, "cell")} failed${others}.\n${named}`);
    }
    if (problems.length > 0) throw new ClpError(problems.join("\n"));
  });
}

/** Reads a file of published figures. Throws UsageError for another file. */
async function readPublished(file: string): Promise<Published> {
  try {
    return Published.parse(JSON.parse(await settingsText(file)));
  } catch (error) {
    throw new UsageError(
      `${file} holds no published figures (${messageOf(error)}). Expected docs/published.json's form.`,
    );
  }
}
