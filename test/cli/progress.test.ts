import { Writable } from "node:stream";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createProgress, onlyNews } from "../../src/cli/progress.ts";
import { progressLine, Rate } from "../../src/cli/progress-line.ts";
import { displayWidth } from "../../src/cli/width.ts";

/** A stream that keeps what is written. */
class Screen extends Writable {
  readonly isTTY: boolean;
  readonly columns = 80;
  text = "";

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void) {
    this.text += chunk.toString();
    done();
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});
const passing = (milliseconds: number) => vi.advanceTimersByTime(milliseconds);
const steps = (done: number, detail?: string) => ({
  stage: "Distilling",
  done,
  total: 100,
  unit: "steps",
  ...(detail === undefined ? {} : { detail }),
});

test("elsewhere than on a terminal a plain line comes every five seconds, and a summary at the end", () => {
  const stream = new Screen(false);
  const progress = createProgress({ stream });
  for (let done = 0; done <= 100; done++) {
    progress.update(steps(done, `loss ${(1 - done / 200).toFixed(2)}`));
    if (done < 100) passing(100);
  }
  progress.stop();
  expect(stream.lines).toEqual([
    "Distilling: 20 %, 20/100 steps, 10/s, 8 s left, loss 0.90",
    "Distilling: 70 %, 70/100 steps, 10/s, 3 s left, loss 0.65",
    "Distilling: 100 steps in 10.0 s",
  ]);
});

test("work under two seconds leaves no trace", () => {
  for (const tty of [true, false]) {
    const stream = new Screen(tty);
    const progress = createProgress({ stream });
    progress.update(steps(0));
    passing(400);
    progress.update(steps(100));
    progress.stop();
    expect(stream.text).toBe("");
  }
});

test("another stage ends the one before with its time, and starts afresh", () => {
  const stream = new Screen(false);
  const progress = createProgress({ stream });
  progress.update(steps(0));
  passing(3000);
  progress.update(steps(100));
  progress.update({ stage: "Download", done: 0, total: 2 ** 20, unit: "bytes" });
  passing(2500);
  progress.update({ stage: "Download", done: 2 ** 19, total: 2 ** 20, unit: "bytes" });
  progress.finish();
  expect(stream.lines).toEqual([
    "Distilling: 100 steps in 3.00 s",
    "Download: 50 %, 512 KiB/1.00 MiB, 205 KiB/s, 3 s left",
    "Download: 512 KiB in 2.50 s",
  ]);
});

test("a note after a stage was completed comes behind its summary", () => {
  const stream = new Screen(false);
  const progress = createProgress({ stream });
  progress.update(steps(0));
  passing(3000);
  progress.update(steps(100));
  progress.note("Then this.");
  progress.stop();
  expect(stream.lines.slice(-2)).toEqual(["Distilling: 100 steps in 3.00 s", "Then this."]);
});

test("a stage that was stopped leaves the line it had", () => {
  const stream = new Screen(false);
  const progress = createProgress({ stream });
  progress.update(steps(0));
  passing(2400);
  progress.update(steps(30));
  progress.stop();
  expect(stream.lines.at(-1)).toBe("Distilling: 30 %, 30/100 steps, 13/s, 6 s left");
});

test("a terminal shows a bar after half a second, notes above it, and is cleared at the end", () => {
  const stream = new Screen(true);
  const progress = createProgress({ stream });
  progress.update(steps(0));
  passing(400);
  expect(stream.text).toBe("");
  passing(2100);
  progress.update(steps(50, "loss 0.50"));
  passing(300);
  expect(stream.text).toContain(
    "Distilling  ██████████░░░░░░░░░   50 %  50/100 steps  20/s  3 s left  loss 0.50",
  );
  progress.note("An image was passed over.");
  expect(stream.text).toContain("An image was passed over.\n");
  progress.update(steps(100));
  progress.stop();
  expect(stream.text.endsWith("Distilling: 100 steps in 2.80 s\n")).toBe(true);
  // The line was cleared ("\u001b[0K") after the last bar.
  expect(stream.text.lastIndexOf("\u001b[0K")).toBeGreaterThan(stream.text.lastIndexOf("█"));
  const after = stream.text;
  passing(5000);
  expect(stream.text).toBe(after);
});

test("quiet is silent", () => {
  const stream = new Screen(false);
  const progress = createProgress({ stream, quiet: true });
  progress.update(steps(0));
  progress.note("something");
  passing(9000);
  progress.update(steps(100));
  progress.stop();
  expect(stream.text).toBe("");
});

test("a line never exceeds its columns, and its bar is full at the end", () => {
  fc.assert(
    fc.property(
      fc.record({
        stage: fc.string({ minLength: 1, maxLength: 30 }),
        done: fc.nat(1e6),
        total: fc.nat(1e6),
        unit: fc.constantFrom("steps", "bytes", "images"),
        detail: fc.string({ maxLength: 60 }),
      }),
      fc.option(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { nil: undefined }),
      (progress, rate) => {
        expect(displayWidth(progressLine(progress, rate, 79))).toBeLessThanOrEqual(79);
      },
    ),
  );
  expect(progressLine(steps(100), undefined, 79)).toBe(`Distilling  ${"█".repeat(24)}  100 %  100/100 steps`);
});

test("a detail of usual length fits beside everything else", () => {
  const line = progressLine(
    { stage: "Distilling", done: 186, total: 300, unit: "steps", detail: "batch 51.3 %, loss 0.412" },
    9.4,
    79,
  );
  expect(line).toHaveLength(79);
  expect(line).toBe("Distilling  ████░░░   62 %  186/300  9.4/s  12 s left  batch 51.3 %, loss 0.412");
});

test("where there is little room, the accuracy stays, and the rate and the count go", () => {
  const detail = "batch 51.3 %, loss 0.412";
  const slow = { stage: "Distilling", done: 186, total: 1500, unit: "steps", detail };
  expect(progressLine(slow, 0.11, 79)).toBe(
    "Distilling  █░░░░░   12 %  186/1,500  3 h 19 min left  batch 51.3 %, loss 0.412",
  );
  const long = { ...slow, stage: "Distilling lgm on emoji", done: 12_345, total: 100_000 };
  expect(progressLine(long, 0.11, 79)).toBe(
    "Distilling lgm on emoji  █░░░░░   12 %  221 h 21 min left  batch 51.3 %, loss…",
  );
});

test("the rate is that of the last quarter of a minute", () => {
  const rate = new Rate();
  expect(rate.perSecond).toBeUndefined();
  rate.add(0, 40);
  expect(rate.perSecond).toBeUndefined();
  // Resumed at 40, ten a second, then one a second.
  rate.add(1000, 50);
  expect(rate.perSecond).toBe(10);
  for (let second = 1; second <= 20; second++) rate.add(1000 + 1000 * second, 50 + second);
  expect(rate.perSecond).toBe(1);
});

test("a note is made once", () => {
  const told: string[] = [];
  const note = onlyNews((text) => told.push(text));
  for (const text of ["[1/2] a", "6 held out.", "[2/2] b", "6 held out."]) note(text);
  expect(told).toEqual(["[1/2] a", "6 held out.", "[2/2] b"]);
});
