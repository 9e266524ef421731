import type { Command } from "commander";
import { type DataSet, dataSets } from "../data/sets/catalogue.ts";
import { UsageError } from "../errors.ts";
import { formatCount } from "../format.ts";
import { addOptions } from "./options.ts";

import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

const otherForms = `Given as a path alone where its files can be nothing else, else as NAME:PATH;
\`clp-dd datasets NAME\` says how the files must be laid out. Also read:
  emoji, emoji-subgroups   come with the package
  DIR                      images in a folder per class, split or not
  DIR or FILE.parquet      columns of images and labels
  DIR or FILE.tar          WebDataset shards: key.jpg with key.cls
  hf:OWNER/NAME[/FOLDER][@REVISION]
                           a data set of the Hugging Face hub in parquet`;

export function addDatasets(command: Command): void {
  addOptions(command, ["json"])
    .description(
      "Lists the data sets that are read as published: images, classes, page with files and terms. With a name: " +
        "how its files must be laid out. Nothing is downloaded but what hf: names.",
    )
    .argument("[name]", "show one")
    .action((name: string | undefined, options: { json?: boolean }) => {
      const shown = name === undefined ? dataSets : [known(name)];
      print(`${name === undefined ? listOf(shown) : describe(shown[0])}\n`);
      if (options.json) {
        printJson(
          shown.map(({ name, title, images, classes, page, terms, layout }) => ({
            name,
            title,
            images,
            classes,
            page,
            terms,
            layout,
          })),
        );
      }
    });
}

function known(name: string): DataSet {
  const found = dataSets.find((set) => set.name === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `There is no data set "${name}". Expected one of ${dataSets.map((set) => set.name).join(", ")}.`,
  );
}

function listOf(sets: readonly DataSet[]): string {
  const rows = sets.map((set) => [set.name, imagesOf(set), formatCount(set.classes), set.terms]);
  const table = formatTable(["name", "images", "classes", "terms"], rows, {
    align: ["left", "right", "right", "left"],
  });
  const pages = [...new Set(sets.map(({ page }) => page))].map((page) => {
    const names = sets.filter((set) => set.page === page).map(({ name }) => name);
    return `  ${page}\n    ${names.length > 3 ? `${names[0]} and the ${names.length - 1} others of it` : names.join(", ")}`;
  });
  return `${table}\n\nPages with files and terms:\n${pages.join("\n")}\n\n${otherForms}`;
}

function describe(set: DataSet): string {
  const { name, title, page, terms, layout, usual } = set;
  return [
    title,
    `  images   ${imagesOf(set)}`,
    `  classes  ${formatCount(set.classes)}`,
    `  page     ${page}`,
    `  terms    ${terms}`,
    "",
    `Give it as ${name}:PATH${set.isRecognized ? ", or PATH alone" : ""}. Under PATH:`,
    ...layout.map((line) => `  ${line}`),
    ...(usual ? ["", `${name} alone is ${usual}`] : []),
  ].join("\n");
}

/** "5,994 + 5,794": training and test; validation comes last where there is one. */
function imagesOf({ images }: DataSet): string {
  return images?.map(formatCount).join(" + ") ?? "–";
}
