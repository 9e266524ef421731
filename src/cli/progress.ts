import cliProgress from "cli-progress";
import type { Progress } from "../context.ts";
import { formatBytes, formatSeconds } from "../format.ts";
import { printable } from "../printable.ts";
import { plainLine, progressLine, Rate } from "./progress-line.ts";
import { wrapText } from "./width.ts";

export interface ProgressOptions {
  /** Says nothing at all. */
  readonly quiet?: boolean;
  /** By default standard error, so that standard output stays clean for pipes and --json. */
  readonly stream?: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Milliseconds that only go up. */
  readonly now?: () => number;
}

/** The one display of all long work. */
export interface ProgressDisplay {
  /** Shows how far a stage has come; another stage's name ends the one before. */
  update(progress: Progress): void;
  /** Prints a sentence above the bar. */
  note(text: string): void;
  /** Ends the current stage with a line: how much was done and how long it took. */
  finish(): void;
  /** Takes the display down; a stage that was not complete leaves the line it had. */
  stop(): void;
}

/** Work that is over sooner leaves no trace. */
const silentMilliseconds = 2000;
/** A bar appears after this. */
const barAfterMilliseconds = 500;
/** Between two lines where the output is not a terminal. */
const lineMilliseconds = 5000;

interface Stage {
  readonly began: number;
  readonly rate: Rate;
  progress: Progress;
  /** When it was last reported on. */
  at: number;
  lineAt: number;
  bar: cliProgress.SingleBar | undefined;
  barTimer: NodeJS.Timeout | undefined;
}

/**
 * A bar with share, rate, time left and detail on a terminal, in one line of at most 80 columns; elsewhere a
 * plain line every few seconds. Everything goes to `stream`.
 */
export function createProgress(options: ProgressOptions = {}): ProgressDisplay {
  const { quiet = false, stream = process.stderr, now = () => performance.now() } = options;
  const columns = () => Math.min(80, stream.columns ?? 80) - 1;
  const say = (text: string) => {
    const line = printable(text);
    stream.write(`${stream.isTTY ? wrapText(line, columns()).join("\n") : line}\n`);
  };
  let stage: Stage | undefined;

  const showBar = (of: Stage) => {
    of.bar = new cliProgress.SingleBar({
      stream,
      fps: 5,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      format: () => printable(progressLine(of.progress, of.rate.perSecond, columns())),
    });
    of.bar.start(1, 0);
  };
  const hideBar = (of: Stage) => {
    clearTimeout(of.barTimer);
    of.bar?.stop();
    of.bar = undefined;
  };
  const begin = (progress: Progress): Stage => {
    const at = now();
    const begun: Stage = {
      began: at,
      rate: new Rate(),
      progress,
      at,
      lineAt: at - lineMilliseconds + silentMilliseconds,
      bar: undefined,
      barTimer: undefined,
    };
    if (stream.isTTY) begun.barTimer = setTimeout(() => showBar(begun), barAfterMilliseconds).unref();
    return begun;
  };
  const end = (line: (ended: Stage) => string) => {
    if (stage === undefined) return;
    const ended = stage;
    stage = undefined;
    hideBar(ended);
    if (ended.at - ended.began >= silentMilliseconds) say(line(ended));
  };
  const summary = (ended: Stage) => {
    const { stage: name, done, unit } = ended.progress;
    const amount = unit === "bytes" ? formatBytes(done) : `${done.toLocaleString("en-US")} ${unit}`;
    return `${name}: ${amount} in ${formatSeconds((ended.at - ended.began) / 1000)}`;
  };

  return {
    update(progress) {
      if (quiet) return;
      if (stage !== undefined && stage.progress.stage !== progress.stage) end(summary);
      stage ??= begin(progress);
      stage.progress = progress;
      stage.at = now();
      stage.rate.add(stage.at, progress.done);
      // What is complete gets its summary next, and no line before it.
      const complete = progress.total > 0 && progress.done >= progress.total;
      if (!stream.isTTY && !complete && stage.at - stage.lineAt >= lineMilliseconds) {
        stage.lineAt = stage.at;
        say(plainLine(progress, stage.rate.perSecond));
      }
    },
    note(text) {
      if (quiet) return;
      // What is noted after the last report of a stage belongs behind it.
      if (stage !== undefined && stage.progress.done >= stage.progress.total) end(summary);
      if (stage?.bar === undefined) {
        say(text);
        return;
      }
      hideBar(stage);
      say(text);
      showBar(stage);
    },
    finish() {
      end(summary);
    },
    stop() {
      end((ended) => {
        const { done, total } = ended.progress;
        return done >= total ? summary(ended) : plainLine(ended.progress, ended.rate.perSecond);
      });
    },
  };
}

/** Passes notes on, each once: what a data set or an encoder is would be reported again for every cell of a grid. */
export function onlyNews(say: (text: string) => void): (text: string) => void {
  const reported = new Set<string>();
  return (text) => {
    if (!reported.has(text)) say(text);
    reported.add(text);
  };
}
