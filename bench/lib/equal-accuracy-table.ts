/** What bench/runs/equal-accuracy.ts found, and the times that it is asked for. */

/** The probes that judge images: the closed form, LGM's head on images as they are and on augmented draws. */
export const judges = ["closed form", "LGM's head", "head, augmented"] as const;
export type Judge = (typeof judges)[number];
/** Top-1 on the test images, fractions. */
export type Accuracies = Readonly<Record<Judge, number>>;

/** Images on the way. */
export interface Snapshot {
  readonly steps: number;
  /** That the steps until then took, without judging. */
  readonly seconds: number;
  readonly accuracies: Accuracies;
}

export interface Training {
  readonly name: string;
  /** In the order of time. */
  readonly snapshots: readonly Snapshot[];
}

/** By one judge: LGM's best, and when CLP-DD was as good. */
export interface EqualRow {
  readonly judge: Judge;
  /** The schedule of LGM that was best by this judge, when it first was, and how good that is. */
  readonly lgm: string;
  readonly lgmSeconds: number;
  readonly target: number;
  readonly own: readonly {
    readonly name: string;
    /** Of the first images at least as good; absent where none were. */
    readonly seconds?: number;
    readonly steps?: number;
    /** LGM's seconds over these. */
    readonly ratio?: number;
    /** At the end of the recipe. */
    readonly last: number;
    readonly lastSeconds: number;
  }[];
}

export interface EqualAccuracy {
  /** Of its own steps that LGM had under each schedule. */
  readonly seconds: number;
  readonly size: number;
  readonly classes: number;
  /** Of the heads. */
  readonly seeds: number;
  readonly trainings: readonly Training[];
  readonly rows: readonly EqualRow[];
}

export const reaches = ({ accuracies }: Snapshot, judge: Judge, target: number): boolean =>
  accuracies[judge] >= target;

/**
 * For each judge, LGM's best accuracy at any time under any schedule, the first time it had it (later snapshots that
 * are worse do not count against it), and the first time of each of `own` with at least that.
 */
export function atEqualAccuracy(lgm: readonly Training[], own: readonly Training[]): EqualRow[] {
  return judges.map((judge) => {
    const all = lgm.flatMap(({ name, snapshots }) => snapshots.map((snapshot) => ({ name, snapshot })));
    const best = all.reduce((a, b) => {
      const gain = b.snapshot.accuracies[judge] - a.snapshot.accuracies[judge];
      return gain > 0 || (gain === 0 && b.snapshot.seconds < a.snapshot.seconds) ? b : a;
    });
    const target = best.snapshot.accuracies[judge];
    const lgmSeconds = best.snapshot.seconds;
    return {
      judge,
      lgm: best.name,
      lgmSeconds,
      target,
      own: own.map(({ name, snapshots }) => {
        const first = snapshots.find((snapshot) => reaches(snapshot, judge, target));
        const last = snapshots.at(-1)!;
        return {
          name,
          last: last.accuracies[judge],
          lastSeconds: last.seconds,
          ...(first ? { seconds: first.seconds, steps: first.steps, ratio: lgmSeconds / first.seconds } : {}),
        };
      }),
    };
  });
}
