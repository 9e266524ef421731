import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { ClpError } from "../errors.ts";
import type { DataCheck } from "../evaluate/data-check.ts";
import { formatCount, formatMany, formatPercent } from "../format.ts";
import { csv } from "./csv.ts";
import {
  addCommonOptions,
  addOptions,
  dataForms,
  type EncoderOptions,
  encoderNames,
  ownOption,
} from "./options.ts";
import { requireWritableFile, unwritten } from "./output-file.ts";
import { fraction, integer } from "./parse.ts";
import { encoderParams, runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

type CheckOptions = EncoderOptions & {
  readonly similarity?: number;
  readonly most: number;
  readonly csv?: boolean;
  readonly html?: string;
};

export function addCheck(command: Command): void {
  command
    .usage("<data> [options]")
    .description(
      "Checks a data set before anything is distilled, by leave-one-out predictions of the closed-form probe of all its " +
        "training images: how well the encoder separates the classes, labels that look wrong, images that are nearly the " +
        "same (across train and test, too), outliers, and classes that are taken for one another.",
    )
    .argument("<data>", dataForms)
    .addOption(
      ownOption(
        "--similarity <cosine>",
        "of features from which two images are nearly the same; below it their pictures decide (default: 0.95)",
        "Data:",
      ).argParser(fraction),
    )
    .addOption(
      ownOption("--most <n>", "findings of each kind in the tables", "Output:")
        .argParser(integer(1))
        .default(20),
    )
    .addOption(
      ownOption("--csv", "print all findings as comma-separated values instead", "Output:").conflicts("json"),
    )
    .addOption(
      ownOption("--html <file>", "write a page that shows the findings with their images", "Output:"),
    );
  addOptions(command, encoderNames);
  addCommonOptions(command);
  command.action(async (data: string, options: CheckOptions) => {
    const { similarity, html } = options;
    if (html !== undefined) await requireWritableFile("--html", html);
    const params = { ...encoderParams(options), data, similarity, pictured: html !== undefined };
    const { found, page } = await runJob("check.described", params, options);
    const failures =
      html === undefined || page === undefined ? [] : await unwritten({ [html]: writeFile(html, page) });
    if (options.csv) {
      print(csv(findings(found)));
    } else {
      print(`${tables(found, options.most).join("\n\n")}\n`);
      if (options.json) printJson(found);
    }
    if (failures.length > 0) throw new ClpError(failures.join("\n"));
  });
}

/** A row for each finding, with a head. */
function findings({ suspects, duplicates, outliers }: DataCheck): (string | number | undefined)[][] {
  return [
    [
      ...["finding", "split", "image", "class", "other split", "other image", "other class", "value"],
      ...["found by", "correlation", "alignment"],
    ],
    ...suspects.map((s) => [
      ...["label", s.split, s.image, s.class, "", "", s.suggested, s.suggestedProbability],
      ...["", "", ""],
    ]),
    ...duplicates.map(({ first: a, second: b, similarity, leak, by, correlation, alignment }) => [
      ...[leak ? "leak" : "duplicate", a.split, a.image, a.class],
      ...[b.split, b.image, b.class, similarity, by, correlation, alignment],
    ]),
    ...outliers.map((o) => [
      ...["outlier", o.split, o.image, o.class, "", "", "", o.leverage],
      ...["", "", ""],
    ]),
  ];
}

function tables(found: DataCheck, most: number): string[] {
  const { classes, suspects, duplicates, outliers, confused } = found;
  const leaks = duplicates.filter(({ leak }) => leak).length;
  const byPicture = duplicates.filter(({ by }) => by === "picture").length;
  const part = (count: number, what: string, head: string[], rows: string[][]): string[] =>
    count === 0
      ? [`${what}: none.`]
      : [
          `${what}: ${formatCount(count)}${count > most ? `, the first ${most}` : ""}`,
          formatTable(head, rows.slice(0, most)),
        ];
  return [
    `${found.data}, encoder ${found.encoder}: ${formatPercent(found.accuracy)} of the training images are classified correctly by the ` +
      `probe of all others (λ = ${found.lambda})${
        found.testAccuracy === undefined ? "" : `, ${formatPercent(found.testAccuracy)} of the test images`
      }.`,
    formatTable(
      ["class", "train", "test", "leave-one-out"],
      classes.map((c) => [
        ...[c.name, formatCount(c.train), c.test === undefined ? "" : formatCount(c.test)],
        c.accuracy === null ? "" : formatPercent(c.accuracy),
      ]),
    ),
    ...part(
      suspects.length,
      `Labels that another class fits better (${formatCount(suspects.filter((s) => s.confident).length)} with confidence)`,
      ["image", "label", "", "rather", ""],
      suspects.map((s) => [
        ...[s.image, s.class, formatPercent(s.labelProbability)],
        ...[s.suggested, formatPercent(s.suggestedProbability)],
      ]),
    ),
    ...part(
      duplicates.length,
      `Nearly the same images (${formatMany(leaks, "pair")} across train and test; ${formatCount(byPicture)} found by their pictures)`,
      ["", "image", "", "image", "cosine", "pictures"],
      duplicates.map(({ first: a, second: b, similarity, correlation, alignment }) => [
        ...[a.split, a.image, b.split, b.image],
        similarity.toFixed(3),
        correlation === undefined ? "" : `${correlation.toFixed(3)} ${alignment}`,
      ]),
    ),
    ...part(
      outliers.length,
      "Outliers",
      ["image", "class", "leverage"],
      outliers.map((o) => [o.image, o.class, o.leverage.toFixed(3)]),
    ),
    ...part(
      confused.length,
      "Classes that the encoder cannot separate",
      ["class", "class", "confused"],
      confused.map(({ classes: [a, b], share }) => [a, b, formatPercent(share)]),
    ),
  ];
}
