import { editsInWords } from "../artifact/edits-in-words.ts";
import { encodersOf, sizedName } from "../artifact/recorded-encoders.ts";
import { formatBytes, formatCount, formatMeanStd, formatPercent, formatSeconds } from "../format.ts";
import { encoderLabel } from "../jobs/evaluate-columns.ts";
import type { DistillSummary } from "../jobs/summary.ts";
import { withoutSecrets } from "../machines/address.ts";
import { shareError, standardError } from "../probe/metrics.ts";
import type { CommonOptions } from "./options.ts";

import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";
import { wrapText } from "./width.ts";

/** The command line, as it is recorded in a set. */
export const commandLine = (): string => withoutSecrets(`clp-dd ${process.argv.slice(2).join(" ")}`);

/** Prints what came of a job that makes a set of images. */
export function reportSet(summary: DistillSummary, options: CommonOptions): void {
  printResult(summary);
  if (options.json) printJson(resultJson(summary));
}

/** The table that a distillation ends with: one screen, with time and memory of every stage. */
function printResult({ manifest, out }: DistillSummary): void {
  const full = manifest.metrics.fullData?.top1;
  const rows = manifest.metrics.rows.map((row) => [
    row.protocol === "closed form" ? row.name : `${row.name}, ${row.protocol}`,
    formatCount(row.images),
    row.std === undefined ? formatPercent(row.top1) : formatMeanStd(row.top1, row.std),
    full === undefined ? "" : formatPercent(row.top1 / full),
  ]);
  const stages = manifest.stages.map((s) => [
    s.name,
    formatSeconds(s.seconds),
    formatBytes(s.peakMemoryBytes),
  ]);
  const text = [
    "",
    `${manifest.data.name}: ${manifest.classes.length} classes, encoder ${manifest.encoder.id}, closed-form probe`,
    "",
    ...(rows.length > 0
      ? [
          formatTable(["", "images", "test top-1", "of full data"], rows, {
            align: ["left", "right", "right", "right"],
          }),
          "",
          ...uncertaintyLines(manifest),
          ...calibrationLines(manifest),
        ]
      : ["No test images: nothing was measured.", ""]),
    ...editLines(manifest),
    ...encoderLines(manifest),
    formatTable(["stage", "time", "peak memory"], stages, { align: ["left", "right", "right"] }),
    "",
    `${out}`,
    `  report.html shows it, images/ holds the PNGs, README.md says how to use it.`,
    "",
  ];
  print(text.join("\n"));
}

/** How uncertain the set's accuracy is for the number of test images. */
function uncertaintyLines({ metrics: { closedForm, fullData }, data }: DistillSummary["manifest"]): string[] {
  const { test } = data.counts;
  if (closedForm === undefined || test === undefined) return [];
  const points = (100 * standardError(closedForm.top1, test)).toFixed(1);
  const share =
    fullData && fullData.top1 > 0
      ? `, of the share ${(100 * shareError(closedForm.top1, fullData.top1, test)).toFixed(1)}`
      : "";
  return [`Standard error on ${formatCount(test)} test images: ${points} points${share}.`, ""];
}

/** How far the probe's probabilities are from the shares of right answers. */
function calibrationLines({ metrics: { closedForm } }: DistillSummary["manifest"]): string[] {
  if (closedForm?.calibrationError === undefined) return [];
  const error = formatPercent(closedForm.calibrationError);
  return [`Probabilities of its classes: expected calibration error ${error} (15 bins).`, ""];
}

/** What the images are worth after edits, in two lines. */
function editLines({ metrics: { closedForm, edits } }: DistillSummary["manifest"]): string[] {
  if (edits === undefined || closedForm === undefined) return [];
  const [mean, worst] = [formatPercent(edits.mean), formatPercent(edits.worst)];
  const text =
    `After each of ${edits.each.length} edits: ${mean} on average, ${worst} at worst. ` +
    editsInWords(closedForm.top1, edits);
  return [...wrapText(text, 80), ""];
}

/** What the images are worth under each of several encoders. */
function encoderLines(manifest: DistillSummary["manifest"]): string[] {
  const made = encodersOf(manifest);
  if (made.length < 2) return [];
  const percent = (value: number | undefined) => (value === undefined ? "" : formatPercent(value));
  const rows = made.map(({ encoder, metrics: { closedForm, edits } }) => [
    encoderLabel(encoder.id, encoder.preprocessing.crop),
    percent(closedForm?.top1),
    percent(edits?.mean),
    percent(edits?.worst),
  ]);
  const head = ["encoder", "test top-1", "mean over edits", "worst edit"];
  return [formatTable(head, rows, { align: ["left", "right", "right", "right"] }), ""];
}

/** What `--json` prints. Accuracies are fractions. */
function resultJson({ manifest, out, seconds, peakMemoryBytes }: DistillSummary) {
  const { closedForm, fullData, centroid, random, edits } = manifest.metrics;
  const [, ...others] = encodersOf(manifest);
  return {
    ...(closedForm
      ? { closedForm: { top1: closedForm.top1, calibrationError: closedForm.calibrationError } }
      : {}),
    ...(fullData ? { fullData: { top1: fullData.top1 } } : {}),
    ...(centroid ? { centroid: { top1: centroid.top1 } } : {}),
    ...(random ? { random: { mean: random.mean, std: random.std } } : {}),
    ...(edits ? { edits } : {}),
    ...(others.length > 0
      ? {
          others: others.map(({ encoder, metrics }) => ({
            encoder: sizedName(encoder),
            ...(metrics.closedForm ? { closedForm: { top1: metrics.closedForm.top1 } } : {}),
            ...(metrics.fullData ? { fullData: { top1: metrics.fullData.top1 } } : {}),
            ...(metrics.edits ? { edits: metrics.edits } : {}),
          })),
        }
      : {}),
    seconds,
    peakMemoryBytes,
    out,
  };
}
