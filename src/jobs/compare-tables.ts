import * as z from "zod";
import type { Evaluation } from "../evaluate/evaluation.ts";
import type { EditedAccuracy } from "../evaluate/measure-edits.ts";
import { type ProbeName, type ProbeResult, probeNames, type Spread } from "../evaluate/protocol.ts";
import { fullHeadsNote, points, probeTitle, spreadText, type Table } from "../evaluate/tables.ts";
import { formatSeconds } from "../format.ts";
import { meanStd } from "../probe/metrics.ts";
import type { CellResult, Comparison } from "./compare.ts";
import type { Cell } from "./compare-config.ts";

/** `docs/published.json`: figures of others, in percent. */
export const Published = z.object({
  note: z.string(),
  source: z.string(),
  figures: z.array(
    z.object({
      data: z.string(),
      encoder: z.string(),
      method: z.string(),
      ipc: z.int(),
      top1: z.number(),
    }),
  ),
});
export type Published = z.infer<typeof Published>;

/** A probe's accuracy over all cells of a row. */
export interface ProbeOutcome {
  readonly probe: ProbeName;
  readonly augmented: boolean;
  readonly top1: Spread;
  readonly top5?: Spread;
  readonly worstGroup?: Spread;
}

/** What a row's sets are worth after edits. */
export interface EditedRow {
  readonly mean: Spread;
  readonly worst: Spread;
  readonly each: readonly { readonly name: string; readonly top1: Spread }[];
}

/** The cells of a grid that differ in the seed alone. */
export interface Row {
  readonly data: string;
  readonly distilledWith: string;
  readonly evaluatedOn: string;
  readonly method: string;
  readonly baseline?: string;
  readonly ipc: number;
  /** Epochs of a head. */
  readonly epochs: number;
  readonly outcomes: readonly ProbeOutcome[];
  /** The closed form after edits, over all cells; absent where these were not measured. */
  readonly edits?: EditedRow;
  /** Mean seconds of making a set, most memory of any. */
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  /** Published top-1, percent. */
  readonly published?: number;
}

/** Rows of a grid, in its order; values of all seeds together. */
export function comparisonRows(cells: readonly CellResult[], published?: Published): Row[] {
  const groups = new Map<string, { cell: Cell; on: string; evaluations: Evaluation[] }>();
  const [dataNames, encoderNames] = [new Names(), new Names()];
  for (const { cell, on, evaluations } of cells) {
    for (const [k, evaluation] of evaluations.entries()) {
      const [data, made, evaluated] = [cell.data.data, cell.encoder.encoder.text, on[k]];
      dataNames.add(data, evaluation.data);
      encoderNames.add(made, evaluation.distilledWith);
      encoderNames.add(evaluated, evaluation.encoder);
      const key = JSON.stringify([data, made, evaluated, cell.method, cell.ipc]);
      const group = groups.get(key) ?? { cell, on: evaluated, evaluations: [] };
      group.evaluations.push(evaluation);
      groups.set(key, group);
    }
  }
  return [...groups.values()].map(({ cell, on, evaluations }) => {
    const [first] = evaluations as [(typeof evaluations)[number], ...typeof evaluations];
    const known = published?.figures.find(
      (f) =>
        f.data === cell.data.published &&
        f.encoder === cell.encoder.published &&
        f.method === cell.published &&
        (f.ipc === cell.ipc || cell.baseline === "full"),
    );
    return {
      data: dataNames.of(cell.data.data),
      distilledWith: encoderNames.of(cell.encoder.encoder.text),
      evaluatedOn: encoderNames.of(on),
      method: cell.method,
      ...(cell.baseline === undefined ? {} : { baseline: cell.baseline }),
      ipc: cell.ipc,
      epochs: first.epochs,
      outcomes: outcomesOf(evaluations.flatMap((e) => e.probes)),
      ...editedRow(evaluations.flatMap((e) => e.edits ?? [])),
      seconds: meanStd(evaluations.map((e) => e.seconds)).mean,
      peakMemoryBytes: Math.max(...evaluations.map((e) => e.peakMemoryBytes)),
      ...(known ? { published: known.top1 } : {}),
    };
  });
}

/** Short names of what a grid names by longer texts; the text itself where several have the same short name. */
class Names {
  readonly #names = new Map<string, string>();

  add(text: string, name: string): void {
    this.#names.set(text, name);
  }

  of(text: string): string {
    const name = this.#names.get(text)!;
    return [...this.#names.values()].filter((other) => other === name).length > 1 ? text : name;
  }
}

function editedRow(edits: readonly EditedAccuracy[]): { edits?: EditedRow } {
  const [first] = edits;
  if (first === undefined) return {};
  const spread = (figureOf: (of: EditedAccuracy) => number): Spread => {
    const values = edits.map(figureOf);
    return { ...meanStd(values), values };
  };
  return {
    edits: {
      mean: spread(({ mean }) => mean),
      worst: spread(({ worst }) => worst),
      each: first.each.map(({ name }, i) => ({ name, top1: spread(({ each }) => each[i].top1) })),
    },
  };
}

function outcomesOf(probes: readonly ProbeResult[]): ProbeOutcome[] {
  return probeNames.flatMap((probe) =>
    [false, true].flatMap((augmented): ProbeOutcome[] => {
      const own = probes.filter((p) => p.probe === probe && p.augmented === augmented);
      if (own.length === 0) return [];
      const spread = (of: (p: ProbeResult) => Spread | undefined): Spread | undefined => {
        const values = own.flatMap((p) => of(p)?.values ?? []);
        return values.length === 0 ? undefined : { ...meanStd(values), values };
      };
      const [top5, worstGroup] = [spread((p) => p.top5), spread((p) => p.worstGroup)];
      return [
        {
          probe,
          augmented,
          top1: spread((p) => p.top1)!,
          ...(top5 ? { top5 } : {}),
          ...(worstGroup ? { worstGroup } : {}),
        },
      ];
    }),
  );
}

/** Accuracies, then HLR and IOR, for each data set and encoder evaluated on. */
export function comparisonTables(rows: readonly Row[], published?: Published): Table[] {
  const places = [...new Set(rows.map((row) => JSON.stringify([row.data, row.evaluatedOn])))];
  return places.flatMap((place) => {
    const [data, evaluatedOn] = JSON.parse(place) as [string, string];
    const own = rows.filter((row) => row.data === data && row.evaluatedOn === evaluatedOn);
    const title = `${data}, evaluated on ${evaluatedOn}`;
    return [accuracyTable(title, own, published), ...editsTables(title, own), ...rankingTables(title, own)];
  });
}

const keyOf = ({ probe, augmented }: Pick<ProbeOutcome, "probe" | "augmented">) => `${probe} ${augmented}`;

/** Every probe of the rows, in one order. */
function probesOf(rows: readonly Row[]): ProbeOutcome[] {
  const found = new Map(rows.flatMap((row) => row.outcomes).map((outcome) => [keyOf(outcome), outcome]));
  return [...found.values()].sort((a, b) => Number(a.augmented) - Number(b.augmented));
}

const headsOf = ({ epochs, outcomes }: Row) => ({
  epochs,
  seeds: outcomes.find((o) => o.probe !== "closed-form")?.top1.values.length,
});

function accuracyTable(title: string, rows: readonly Row[], published: Published | undefined): Table {
  const probes = probesOf(rows);
  const crossed = rows.some((row) => row.distilledWith !== row.evaluatedOn);
  const seeds = Math.max(...rows.flatMap((row) => row.outcomes.map((o) => o.top1.values.length)));
  const shown = rows.some((row) => row.published !== undefined);
  const full = rows.find((row) => row.baseline === "full");
  const other = rows.find((row) => row.baseline !== "full");
  const worst = rows.some((row) => row.outcomes.some((o) => o.worstGroup));
  return {
    title: `${title}: top-1, percent`,
    head: [
      ...["method", "images per class"],
      ...(crossed ? ["distilled with"] : []),
      ...probes.map((p) => (worst ? `${probeTitle(p)} (worst group)` : probeTitle(p))),
      ...["time", "memory"],
      ...(shown ? [`PUBLISHED (${published!.source})`] : []),
    ],
    rows: rows.map((row) => [
      row.method,
      row.baseline === "full" ? "all" : String(row.ipc),
      ...(crossed ? [row.distilledWith] : []),
      ...probes.map((p) => {
        // The full data are never augmented: the column shows their own figure.
        const found = outcomeOf(row, p);
        if (found === undefined) return "–";
        return found.worstGroup
          ? `${spreadText(found.top1)} (${spreadText(found.worstGroup)})`
          : spreadText(found.top1);
      }),
      formatSeconds(row.seconds),
      `${(row.peakMemoryBytes / 2 ** 30).toFixed(2)} GiB`,
      ...(shown ? [row.published === undefined ? "–" : row.published.toFixed(1)] : []),
    ]),
    notes: [
      `${seeds === 1 ? "One seed" : `Mean ± standard deviation over up to ${seeds} seeds`}. Time and memory: of making the set, without reading the real features.`,
      ...(full && other ? fullHeadsNote(headsOf(full), headsOf(other)) : []),
      ...(shown ? [`Published figures were not measured here. ${published!.note}`] : []),
    ],
  };
}

/** The closed form as it is and after edits, for the sets that were edited. */
function editsTables(title: string, rows: readonly Row[]): Table[] {
  const edited = rows.flatMap(({ edits, ...row }) => (edits === undefined ? [] : [{ ...row, edits }]));
  if (edited.length === 0) return [];
  const crossed = edited.some((row) => row.distilledWith !== row.evaluatedOn);
  const names = [...new Set(edited.flatMap(({ edits }) => edits.each.map(({ name }) => name)))];
  const mean = (spread: Spread | undefined) => points(spread?.mean);
  return [
    {
      title: `${title}: closed form after edits of the images, top-1, percent`,
      head: [
        ...["method", "images per class"],
        ...(crossed ? ["distilled with"] : []),
        ...["as it is", "mean over the edits", "worst edit", ...names],
      ],
      rows: edited.map((row) => {
        const asIs = outcomeOf(row, { probe: "closed-form", augmented: false })?.top1;
        return [
          ...[row.method, String(row.ipc)],
          ...(crossed ? [row.distilledWith] : []),
          ...[asIs, row.edits.mean, row.edits.worst].map((s) => (s === undefined ? "–" : spreadText(s))),
          ...names.map((name) => mean(row.edits.each.find((edit) => edit.name === name)?.top1)),
        ];
      }),
      notes: [
        "Each edit by itself, on the exact pixels; the probe is solved on the edited images (docs/evaluation.md).",
      ],
    },
  ];
}

function outcomeOf(
  row: Row,
  { probe, augmented }: Pick<ProbeOutcome, "probe" | "augmented">,
): ProbeOutcome | undefined {
  const same = (o: ProbeOutcome) => o.probe === probe;
  return (
    row.outcomes.find((o) => same(o) && o.augmented === augmented) ??
    (row.baseline === "full" ? row.outcomes.find(same) : undefined)
  );
}

/** HLR / IOR in points and the share of the full data's accuracy, where the grid has the references. */
function rankingTables(title: string, rows: readonly Row[]): Table[] {
  // Real images are the same for sets of every encoder, but may be resized otherwise: those of the set's own first.
  const reference = (baseline: string, { distilledWith, ipc }: Row): Row | undefined => {
    const found = rows.filter((r) => r.baseline === baseline && (baseline === "full" || r.ipc === ipc));
    return found.find((r) => r.distilledWith === distilledWith) ?? found[0];
  };
  const probes = probesOf(rows);
  const others = rows.filter((row) => row.baseline !== "full");
  if (others.length === 0 || others.length === rows.length) return [];
  return [
    {
      title: `${title}: share of the full data’s accuracy; HLR / IOR in points`,
      head: ["method", "images per class", ...probes.map(probeTitle)],
      rows: others.map((row) => {
        const full = reference("full", row)!;
        const random = reference("random", row);
        return [
          row.method,
          String(row.ipc),
          ...probes.map((p) => {
            const own = outcomeOf(row, p);
            const whole = outcomeOf(full, p);
            const blind = random && outcomeOf(random, p);
            if (own === undefined || whole === undefined) return "–";
            const share = `${((100 * own.top1.mean) / whole.top1.mean).toFixed(0)} %`;
            const ior = points(blind && own.top1.mean - blind.top1.mean);
            return `${share}; ${points(whole.top1.mean - own.top1.mean)} / ${ior}`;
          }),
        ];
      }),
      notes: [
        "HLR: points below the full data’s row under the same probe (never augmented); IOR: points above that of random " +
          "real images. The closed form of these two has its own feature map and λ.",
      ],
    },
  ];
}

/** What results.json holds: the grid, and every row with its figures as fractions. */
export function comparisonJson({ config, failures }: Comparison, rows: readonly Row[]) {
  return { config, rows, failures };
}
