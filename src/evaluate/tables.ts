import { formatMany, formatPercent, formatSeconds } from "../format.ts";
import { inlineMarkdown } from "../printable.ts";
import type { Evaluation } from "./evaluation.ts";
import { type ProbeName, type ProbeResult, rankingOf, type Spread } from "./protocol.ts";

/** A table of text, for the terminal, Markdown and HTML alike. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Sentences below it. */
  readonly notes: readonly string[];
}

const shortNames: Readonly<Record<ProbeName, string>> = {
  "closed-form": "closed form",
  head: "LGM head",
  "tuned-head": "tuned head",
};

/** "LGM head +aug". */
export function probeTitle({ probe, augmented }: Pick<ProbeResult, "probe" | "augmented">): string {
  return `${shortNames[probe]}${augmented ? " +aug" : ""}`;
}

/** "64.8 ± 0.3", percent; the mean alone where there is one number. */
export function spreadText({ mean, std, values }: Spread): string {
  const number = (100 * mean).toFixed(1);
  return values.length > 1 ? `${number} ± ${(100 * std).toFixed(1)}` : number;
}

/** Differences of accuracies, in points. */
export const points = (value: number | undefined): string =>
  value === undefined ? "–" : (100 * value).toFixed(1).replace(/^-(0\.0)$/, "$1");

/** One table for each encoder evaluated on, and one for each probe across encoders where there are several. */
export function evaluationTables(results: readonly Evaluation[]): Table[] {
  const encoders = [...new Set(results.map((r) => r.encoder))];
  const labelOf = labeller(results);
  const tables = encoders.map((encoder) =>
    encoderTable(
      encoder,
      results.filter((r) => r.encoder === encoder),
      labelOf,
    ),
  );
  const edited = encoders.flatMap((encoder) =>
    editsTable(
      encoder,
      results.filter((r) => r.encoder === encoder),
      labelOf,
    ),
  );
  const across = encoders.length > 1 ? acrossEncoders(results, encoders, labelOf) : [];
  return [...tables, ...edited, ...across];
}

/** The accuracy after each edit; a column for each set. */
function editsTable(encoder: string, results: readonly Evaluation[], labelOf: Labeller): Table[] {
  const edited = results.filter((r) => r.edits !== undefined);
  if (edited.length === 0) return [];
  const names = [...new Set(edited.flatMap((r) => r.edits!.each.map(({ name }) => name)))];
  const line = (name: string, figureOf: (of: Evaluation) => number | undefined) => [
    name,
    ...edited.map((r) => points(figureOf(r))),
  ];
  return [
    {
      title: `${edited[0].data}, evaluated on ${encoder}, after edits of the images: closed form, top-1`,
      head: ["edit", ...edited.map(labelOf)],
      rows: [
        line("none", closedFormAsIs),
        line("mean over the edits", (r) => r.edits!.mean),
        line("worst edit", (r) => r.edits!.worst),
        ...names.map((name) => line(name, (r) => r.edits!.each.find((edit) => edit.name === name)?.top1)),
      ],
      notes: ["Each edit by itself, on the exact pixels; the probe is solved on the edited images."],
    },
  ];
}

const closedFormAsIs = ({ probes }: Evaluation): number | undefined =>
  probes.find(({ probe, augmented }) => probe === "closed-form" && !augmented)?.top1.mean;

function encoderTable(encoder: string, results: readonly Evaluation[], labelOf: Labeller): Table {
  const [first] = results as [Evaluation, ...Evaluation[]];
  const all = results.flatMap((r) => [...r.probes, ...r.full, ...r.random]);
  const worst = all.some((r) => r.worstGroup !== undefined);
  const top5 = all.some((r) => r.top5 !== undefined);
  const line = (name: string, result: ProbeResult, ranking: readonly string[]) => [
    name,
    probeTitle(result),
    spreadText(result.top1),
    ...(top5 ? [result.top5 ? spreadText(result.top5) : "–"] : []),
    ...(worst ? [result.worstGroup ? spreadText(result.worstGroup) : "–"] : []),
    ...ranking,
  ];
  // What no result was compared with has no column.
  const [full, random] = [results.some((r) => r.full.length > 0), results.some((r) => r.random.length > 0)];
  const rows: string[][] = [];
  for (const result of results) {
    for (const probe of result.probes) {
      const { hlr, ior } = rankingOf(probe, result.full, result.random);
      const whole = result.full.find((f) => f.probe === probe.probe);
      const share = whole ? formatPercent(probe.top1.mean / whole.top1.mean, 0) : "–";
      rows.push(
        line(labelOf(result), probe, [
          ...(full ? [share, points(hlr)] : []),
          ...(random ? [points(ior)] : []),
        ]),
      );
    }
  }
  // References are the same for all sets that share a recipe: each is shown once.
  const told = new Set<string>();
  const severalIpc = new Set(results.filter((r) => r.kind !== "full").map((r) => r.ipc)).size > 1;
  for (const result of results) {
    const blind = severalIpc ? `${result.images} random images` : "random images";
    for (const [name, references] of [
      ["full data", result.full],
      [blind, result.random],
    ] as const) {
      for (const reference of references) {
        const row = line(name, reference, [...(full ? ["", ""] : []), ...(random ? [""] : [])]);
        const key = row.join("\0");
        if (!told.has(key)) rows.push(row);
        told.add(key);
      }
    }
  }
  return {
    title: `${first.data}, evaluated on ${encoder}`,
    head: [
      ...["trained on", "probe", "top-1"],
      ...(top5 ? ["top-5"] : []),
      ...(worst ? ["worst group"] : []),
      ...(full ? ["of full", "HLR"] : []),
      ...(random ? ["IOR"] : []),
    ],
    rows,
    notes: [
      ...notesOf(first, all, { full, random }),
      ...results.flatMap((r) =>
        r.calibrationError === undefined
          ? []
          : [
              `${labelOf(r)}: the recorded probabilities have an expected calibration error of ${formatPercent(r.calibrationError)} (15 bins).`,
            ],
      ),
      ...results
        .filter((r) => r.kind !== "full")
        .map(
          (r) =>
            `${labelOf(r)}: ${formatMany(r.images, "image")}, made with ${r.distilledWith} in ${formatSeconds(r.seconds)}, at most ${memory(r)}.`,
        ),
    ],
  };
}

/** What the figures of a table are: only of what is in it. */
function notesOf(
  { count, epochs, fullEpochs, draws, full, probes }: Evaluation,
  all: readonly ProbeResult[],
  has: { readonly full: boolean; readonly random: boolean },
): string[] {
  const seeds = Math.max(...all.map((r) => r.seeds.length));
  const heads = all.some((r) => r.probe !== "closed-form");
  const tuned = all.some((r) => r.probe === "tuned-head");
  const augmented = all.some((r) => r.augmented);
  const legend = [
    ...(has.full ? ["HLR: points below the full data under the same probe"] : []),
    ...(has.random ? ["IOR: points above as many random real images"] : []),
  ];
  const drawn =
    draws === "each epoch"
      ? "drawn anew each epoch"
      : `${formatMany(draws, "draw")} of each image and seed` +
        (heads ? ", of which each epoch takes one (LGM draws anew each epoch)" : "");
  return [
    `Percent of ${formatMany(count, "real test image")}` +
      (seeds > 1
        ? `; mean ± standard deviation over ${seeds} seeds where there are several.`
        : `${heads || augmented ? "; one seed" : ""}.`),
    ...(legend.length > 0 ? [`${legend.join("; ")}.`] : []),
    ...(heads
      ? [
          `Heads: ${formatMany(epochs, "epoch")} on raw features` +
            (tuned ? "; the tuned one's learning rate is chosen on real training features." : "."),
        ]
      : []),
    ...fullHeadsNote(
      { epochs: fullEpochs ?? epochs, seeds: headSeeds(full) },
      { epochs, seeds: headSeeds(probes) },
    ),
    ...(augmented
      ? [
          `+aug: flip and random resized crop, ${drawn}${has.full ? "; the full data are not augmented" : ""}.`,
        ]
      : []),
  ];
}

/** Heads of fewer epochs or seeds on the full data, which every set beside them is measured by. */
export function fullHeadsNote(
  full: { readonly epochs: number; readonly seeds: number | undefined },
  others: { readonly epochs: number; readonly seeds: number | undefined },
): string[] {
  const { epochs, seeds } = full;
  if (seeds === undefined || (epochs === others.epochs && seeds === others.seeds)) return [];
  return [`The full data's heads: ${formatMany(epochs, "epoch")}, ${formatMany(seeds, "seed")}.`];
}

const headSeeds = (results: readonly ProbeResult[]): number | undefined =>
  results.find((r) => r.probe !== "closed-form")?.seeds.length;

const memory = ({ peakMemoryBytes }: Evaluation): string => `${(peakMemoryBytes / 2 ** 30).toFixed(2)} GiB`;

/** Rows: what each set was made with; columns: the encoders it is evaluated on. */
function acrossEncoders(
  results: readonly Evaluation[],
  encoders: readonly string[],
  labelOf: Labeller,
): Table[] {
  const sets = [...new Set(results.map((r) => r.artifact))];
  const kinds = new Map(results.flatMap((r) => r.probes).map((p) => [probeTitle(p), p]));
  return [...kinds].map(([title, { probe, augmented }]) => ({
    title: `Across encoders: ${title}, top-1`,
    head: ["set", "distilled with", ...encoders],
    rows: sets.map((artifact) => {
      const own = results.filter((r) => r.artifact === artifact);
      return [
        labelOf(own[0]),
        own[0].distilledWith,
        ...encoders.map((encoder) => {
          const found = own
            .find((r) => r.encoder === encoder)
            ?.probes.find((p) => p.probe === probe && p.augmented === augmented);
          return found ? spreadText(found.top1) : "–";
        }),
      ];
    }),
    notes: [],
  }));
}

/** What tables and pages call an artifact. */
export type Labeller = (of: Pick<Evaluation, "artifact">) => string;

/** Artifacts are called by their folders' names, and by as much of the path before these as distinguishes them. */
export function labeller(all: readonly Pick<Evaluation, "artifact">[]): Labeller {
  const paths = [...new Set(all.map(({ artifact }) => artifact))];
  const ending = (path: string, count: number) =>
    path
      .replace(/[\\/]+$/, "")
      .split(/[\\/]/)
      .slice(-count)
      .join("/");
  return ({ artifact }) => {
    const most = artifact.split(/[\\/]/).length;
    let count = 1;
    const isShared = (other: string) =>
      other !== artifact && ending(other, count) === ending(artifact, count);
    while (count < most && paths.some(isShared)) count++;
    return ending(artifact, count);
  };
}

/** A table in Markdown. */
export function markdownTable({ title, head, rows, notes }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(inlineMarkdown).join(" | ")} |`;
  return [
    `### ${inlineMarkdown(title)}`,
    "",
    line(head),
    `|${head.map(() => "---|").join("")}`,
    ...rows.map(line),
    "",
    ...notes.map((note) => `${inlineMarkdown(note)}\n`),
  ].join("\n");
}
