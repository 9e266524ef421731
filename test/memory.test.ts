import { expect, test } from "vitest";
import { measureStage, peakMemoryBytes, stageCollector } from "../src/memory.ts";

const mebibyte = 2 ** 20;
/** Memory that is really used, for as long as the returned buffer is kept. */
const use = (bytes: number) => Buffer.alloc(bytes, 1);
const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test("a stage's result, name, time and memory are measured", async () => {
  const before = process.memoryUsage().rss;
  const { result, stage } = await measureStage("work", async () => {
    const kept = use(200 * mebibyte);
    await wait(50);
    return kept.length;
  });
  expect(result).toBe(200 * mebibyte);
  expect(stage.name).toBe("work");
  expect(stage.seconds).toBeGreaterThan(0.045);
  expect(stage.seconds).toBeLessThan(10);
  expect(stage.peakMemoryBytes).toBeGreaterThan(before + 150 * mebibyte);
});

test("a stage inside of another does not make the outer one forget its peak", async () => {
  let inner = 0;
  const outer = await measureStage("outer", async () => {
    let kept: Buffer | undefined = use(300 * mebibyte);
    expect(kept.length).toBeGreaterThan(0);
    kept = undefined;
    inner = (await measureStage("inner", () => wait(1))).stage.peakMemoryBytes;
  });
  expect(outer.stage.peakMemoryBytes).toBeGreaterThan(300 * mebibyte);
  expect(outer.stage.peakMemoryBytes).toBeGreaterThanOrEqual(inner);
});

test("an error of the work passes through, and the next stage is measured all the same", async () => {
  await expect(
    measureStage("work", async () => {
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  expect((await measureStage("work", async () => 1)).stage.peakMemoryBytes).toBeGreaterThan(mebibyte);
  expect(await peakMemoryBytes()).toBeGreaterThan(mebibyte);
});

test("collected stages are listed in the order in which they end, a failed one not at all", async () => {
  const { stages, staged } = stageCollector();
  expect(await staged("first", async () => 7)).toBe(7);
  await staged("outer", () => staged("inner", () => wait(1)));
  await expect(staged("failed", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(stages.map((stage) => stage.name)).toEqual(["first", "inner", "outer"]);
});
