import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  loadCheckpoint,
  lockCheckpoints,
  removeCheckpoint,
  requireNoCheckpoint,
  requireSameRun,
  saveCheckpoint,
} from "../../src/distill/checkpoint.ts";
import { initialState } from "../../src/distill/loop.ts";
import { type Checkpoint, checkpointFormat, describeMismatch } from "../../src/distill/run-state.ts";
import { DataError, UsageError } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { addLevel, noiseParameters } from "../../src/synthetic/parameters.ts";
import { sampleManifest } from "../support/artifact-content.ts";
import { disk } from "../support/failing-disk.ts";

vi.mock("node:fs/promises", async (original) =>
  (await import("../support/failing-disk.ts")).failing(await original<typeof import("node:fs/promises")>()),
);

/** A run's state as after some steps: every number of it is one that only bits can keep. */
function sampleCheckpoint(step: number): Checkpoint {
  const config = DistillConfig.parse({ ipc: 2, learnLabels: true, batchSize: 7, seed: 5 });
  const random = seededRandom(step, "sample checkpoint");
  const parameters = noiseParameters("pyramid", 6, 16, 5);
  addLevel(parameters, 5);
  addLevel(parameters, 5);
  const state = initialState(config, 3, 50, parameters);
  for (const block of [...parameters.levels, state.labels, state.logTau]) {
    for (const part of [block.values, block.first, block.second]) {
      for (let i = 0; i < part.length; i++) part[i] = random.normal() * 10 ** (40 * (random.uniform() - 0.5));
      // Negative zero, the smallest denormal and the largest number.
      part[0] = -0;
      if (part.length > 2) part.set([2 ** -149, 3.4028234663852886e38], 1);
    }
  }
  state.targets = Float32Array.from({ length: 6 * 5 }, () => random.normal());
  state.step = step;
  state.adamSteps = step - 1;
  parameters.adamSteps = step - 1;
  for (let i = 0; i < step; i++) state.sampler.next();
  return {
    identity: {
      config,
      encoder: "ab".repeat(32),
      feature: "pooled (none)",
      data: "cd".repeat(32),
      preprocessing: sampleManifest().encoder.preprocessing,
    },
    state,
    parameters,
    cut: { batch: 2, activations: "recompute" },
    curve: Array.from({ length: step }, (_, i) => ({ step: i + 1, loss: 1 / (i + 3) })),
    seconds: 12.345678901234567,
  };
}

/** Everything of a checkpoint as bits, the next batches of its sampler included. */
function bits({ identity, state, parameters, cut, curve, seconds }: Checkpoint) {
  const { sampler, labels, logTau, step } = state;
  const blocks = [...parameters.levels, labels, logTau].flatMap((block) =>
    [block.values, block.first, block.second].map((part) =>
      Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString("hex"),
    ),
  );
  const { levels, ...rest } = parameters;
  const sides = levels.map((level) => level.side);
  const { targets, levels: inUse, adamSteps } = state;
  const counts = { step, inUse, adamSteps };
  return { identity, cut, curve, seconds, counts, blocks, sides, ...rest, targets, sampler: sampler.state };
}

let folder: string;
beforeEach(async () => {
  disk.reset();
  folder = join(await mkdtemp(join(tmpdir(), "clp-dd-checkpoint-")), "out.checkpoint");
});
afterEach(async () => {
  disk.reset();
  await rm(join(folder, ".."), { recursive: true, force: true });
});

test("a checkpoint is read back bit for bit, and its sampler goes on with the same batches", async () => {
  const saved = sampleCheckpoint(9);
  await saveCheckpoint(folder, saved);
  const loaded = (await loadCheckpoint(folder))!;
  expect(bits(loaded)).toEqual(bits(saved));
  for (let i = 0; i < 20; i++) expect(loaded.state.sampler.next()).toEqual(saved.state.sampler.next());
});

test("without a checkpoint there is nothing to load", async () => {
  expect(await loadCheckpoint(folder)).toBeUndefined();
});

test("a kill at any operation leaves the checkpoint before or the new one", async () => {
  const [before, after] = [sampleCheckpoint(4), sampleCheckpoint(8)];
  await saveCheckpoint(folder, before);
  disk.reset();
  await saveCheckpoint(folder, after);
  const operations = disk.operations;
  expect(operations).toBeGreaterThan(8);
  const steps = new Set<number>();
  for (let k = 1; k <= operations; k++) {
    disk.reset();
    await rm(folder, { recursive: true });
    await saveCheckpoint(folder, before);
    disk.reset(k);
    await saveCheckpoint(folder, after).catch(() => {});
    disk.reset();
    const loaded = (await loadCheckpoint(folder))!;
    expect(bits(loaded)).toEqual(bits(loaded.state.step === 4 ? before : after));
    steps.add(loaded.state.step);
    // The next save is not hindered by what was left.
    await saveCheckpoint(folder, after);
    expect((await loadCheckpoint(folder))!.state.step).toBe(8);
    expect(await readdir(folder)).toEqual(["checkpoint.safetensors"]);
  }
  expect(steps).toEqual(new Set([4, 8]));
});

test("one run at a time has the folder, and what is left of it when it ends is not that run's", async () => {
  const lock = await lockCheckpoints(folder);
  await expect(lockCheckpoints(folder)).rejects.toThrow(DataError);
  await expect(lockCheckpoints(folder)).rejects.toThrow(/out\.checkpoint is being written by process \d+/);
  await lock.release();
  expect(existsSync(folder)).toBe(false);

  const other = await lockCheckpoints(folder);
  await saveCheckpoint(folder, sampleCheckpoint(4));
  // As a kill in the middle of a save leaves it.
  await writeFile(join(folder, "checkpoint.safetensors.tmp"), "half");
  await writeFile(join(folder, "notes.txt"), "mine");
  await removeCheckpoint(folder);
  await other.release();
  expect(await readdir(folder)).toEqual(["notes.txt"]);
});

test("a checkpoint outlasts the run that was stopped, and is not to be written over without being asked", async () => {
  const lock = await lockCheckpoints(folder);
  expect(() => requireNoCheckpoint(folder)).not.toThrow();
  await saveCheckpoint(folder, sampleCheckpoint(4));
  await lock.release();
  expect((await loadCheckpoint(folder))!.state.step).toBe(4);
  expect(() => requireNoCheckpoint(folder)).toThrow(UsageError);
  expect(() => requireNoCheckpoint(folder)).toThrow(
    /out\.checkpoint\. .*`resume: true`, or .*`overwrite: true`/,
  );
});

test("a full disk is named, keeps the checkpoint before and leaves nothing else", async () => {
  await saveCheckpoint(folder, sampleCheckpoint(4));
  disk.reset(5, { dies: false, code: "ENOSPC" });
  await expect(saveCheckpoint(folder, sampleCheckpoint(8))).rejects.toThrow(/disk is full/);
  expect((await loadCheckpoint(folder))!.state.step).toBe(4);
  expect(await readdir(folder)).toEqual(["checkpoint.safetensors"]);
});

test("a checkpoint that was cut short or changed anywhere is recognised and named", async () => {
  await saveCheckpoint(folder, sampleCheckpoint(3));
  const path = join(folder, "checkpoint.safetensors");
  const whole = await readFile(path);
  const message = /checkpoint\.safetensors is damaged.*Delete .* and start again without `resume: true`/;
  for (const length of [0, 5, 100, whole.length >> 1, whole.length - 1]) {
    await writeFile(path, whole);
    await truncate(path, length);
    await expect(loadCheckpoint(folder)).rejects.toThrow(message);
  }
  // In the recorded step, in a digit of the loss, in the first and the last number of the tensors.
  const header = 8 + Number(whole.readBigUint64LE(0));
  const places = [whole.indexOf('step\\":') + 7, whole.indexOf('loss\\":') + 9, header, whole.length - 1];
  for (const place of places) {
    const changed = Buffer.from(whole);
    changed[place] ^= 1;
    await writeFile(path, changed);
    await expect(loadCheckpoint(folder)).rejects.toThrow(DataError);
    await expect(loadCheckpoint(folder)).rejects.toThrow(message);
  }
});

test("a checkpoint with one bit changed, in the names and the header too, is refused", async () => {
  await saveCheckpoint(folder, sampleCheckpoint(3));
  const path = join(folder, "checkpoint.safetensors");
  const whole = await readFile(path);
  const header = 8 + Number(whole.readBigUint64LE(0));
  const end = whole.lastIndexOf("}", header - 1) + 1;
  const refused = async (bytes: Buffer) => {
    await writeFile(path, bytes);
    await expect(loadCheckpoint(folder)).rejects.toThrow(DataError);
  };
  for (let bit = 0; bit < 8 * end; bit += 97) {
    const changed = Buffer.from(whole);
    changed[bit >> 3] ^= 1 << (bit & 7);
    await refused(changed);
  }
  // Two names of the same length exchanged: every tensor is there, under another name.
  const text = whole.toString("latin1");
  for (const [one, another] of [
    ['"targets"', '"uargets"'],
    ['"labels/first"', '"logTau/first"'],
  ] as const) {
    const exchanged = text.replace(one, '"?"').replace(another, one).replace('"?"', another);
    expect(exchanged).not.toBe(text);
    await refused(Buffer.from(exchanged, "latin1"));
  }
});

test("a checkpoint of another format is refused as such", async () => {
  await saveCheckpoint(folder, sampleCheckpoint(3));
  const path = join(folder, "checkpoint.safetensors");
  const text = (await readFile(path))
    .toString("latin1")
    .replace(`"format":"${checkpointFormat}"`, `"format":"${Number(checkpointFormat) - 1}"`);
  await writeFile(path, text, "latin1");
  await expect(loadCheckpoint(folder)).rejects.toThrow(/written by another version of clp-dd/);
});

test("a run with other features, or without a setting that was given, is refused with what differs", () => {
  const { identity } = sampleCheckpoint(3);
  const { preprocessing, config } = identity;
  expect(describeMismatch(identity, { ...identity, feature: "pooled (mean)" })).toBe(
    'feature ("pooled (none)" then, "pooled (mean)" now)',
  );
  const resized = { ...preprocessing, resize: 64, crop: [40, 40] as [number, number] };
  expect(describeMismatch(identity, { ...identity, preprocessing: resized })).toBe(
    "resize (10 then, 64 now), crop ([8,8] then, [40,40] now)",
  );
  const augmented = { ...identity, config: { ...config, augmentation: "geometric" as const } };
  expect(describeMismatch(augmented, identity)).toBe('augmentation ("geometric" then, nothing now)');
});

test("a run with another configuration, encoder or data set is refused with what differs", () => {
  const { identity } = sampleCheckpoint(3);
  expect(describeMismatch(identity, structuredClone(identity))).toBeUndefined();
  expect(() => requireSameRun(identity, structuredClone(identity), "x")).not.toThrow();
  const config = { ...identity.config, ipc: 3, normalize: ["l2" as const] };
  expect(() => requireSameRun(identity, { ...identity, config }, "x")).toThrow(UsageError);
  expect(() => requireSameRun(identity, { ...identity, config }, "x")).toThrow(
    /in x is of another run\. What differs: ipc \(2 then, 3 now\), normalize \(\["l2","center-l2"\] then, \["l2"\] now\)\./,
  );
  expect(describeMismatch(identity, { ...identity, encoder: "x", data: "y" })).toBe(
    "the encoder, the data set",
  );
});
