import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { parametersFromEarlier, stepsToFormer } from "../../src/distill/earlier-set.ts";
import { InterruptedError, UsageError } from "../../src/errors.ts";
import { runDistillation } from "../../src/jobs/distill.ts";
import type { DistillParams } from "../../src/jobs/params.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
let photos: string;
let names: string[];
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-from-"));
  photos = await makePhotos(join(home, "photos"), 4, 32);
  await distill("old", {});
  names = (await readArtifact(join(home, "old"))).manifest.classes.slice();
});
afterAll(() => rm(home, { recursive: true, force: true }));

function distill(
  out: string,
  params: Partial<DistillParams>,
  config: Record<string, unknown> = {},
  { signal = new AbortController().signal, progress = (_: { done: number; stage: string }) => {} } = {},
) {
  return runDistillation(
    {
      ...{ data: photos, encoder: "efficientnet-lite0", size: 32, out: join(home, out) },
      ...{ cacheFolder: join(home, "cache"), maxBad: 0, threads: 1, baselines: false, edits: false },
      config: { steps: 4, init: params.from ? undefined : "real", augment: 0, ...config },
      ...params,
    },
    { signal, progress, note() {} },
  );
}

describe("a run that starts from an earlier set", { timeout: 120_000 }, () => {
  it("begins with its images where the class has the same name, and with noise where it is new", async () => {
    const artifact = await readArtifact(join(home, "old"));
    const config = DistillConfig.parse({ parametrization: "pixels" });
    const earlier = { artifact, sha256: "", kept: [], added: [], removed: [] };
    const order = [names[2]!, "new", names[0]!];
    const { levels } = await parametersFromEarlier(earlier, order, config);
    const images = await artifact.images();
    const length = 3 * 32 * 32;
    const of = (values: Float32Array, i: number) => values.slice(i * length, (i + 1) * length);
    expect(of(levels[0]!.values, 0)).toEqual(of(images, 2));
    expect(of(levels[0]!.values, 2)).toEqual(of(images, 0));
    const fresh = of(levels[0]!.values, 1);
    for (let i = 0; i < names.length; i++) expect(fresh).not.toEqual(of(images, i));
    expect(new Set(fresh).size).toBeGreaterThan(length / 2);
  });

  it("records what was kept, added and removed, and resumes bit for bit", async () => {
    const changed = join(home, "changed");
    await cp(photos, changed, { recursive: true });
    await rename(join(changed, names[0]), join(changed, "zebra"));
    const start = { data: changed, from: join(home, "old") };
    const { manifest } = await distill("new", start);
    expect(manifest.from).toMatchObject({ kept: names.slice(1), added: ["zebra"], removed: [names[0]] });
    expect(manifest.from!.former!.value).toBeGreaterThan(0);
    const stop = new AbortController();
    const progress = ({ done, stage }: { done: number; stage: string }) => {
      if (stage === "Distilling" && done === 2) stop.abort();
    };
    const stopped = distill("cut", start, {}, { signal: stop.signal, progress });
    await expect(stopped).rejects.toThrow(InterruptedError);
    await expect(distill("cut", { data: changed, resume: true })).rejects.toThrow(/set that it starts from/);
    const { manifest: resumed } = await distill("cut", { ...start, resume: true });
    const bytes = ({ files }: typeof manifest) => files["distilled.safetensors"];
    expect(bytes(resumed)).toBe(bytes(manifest));
  });

  it("refuses a set that does not fit, and says what to do", async () => {
    const from = join(home, "old");
    const refused = async (params: Partial<DistillParams>, config: Record<string, unknown>, text: RegExp) => {
      const work = distill("refused", { from, ...params }, config);
      await expect(work).rejects.toThrow(UsageError);
      await expect(work).rejects.toThrow(text);
    };
    await refused({ size: 48 }, {}, /images have 32 px.*`size: 32`/);
    await refused({}, { ipc: 2 }, /1 images per class.*`ipc: 1`/);
    await refused({}, { init: "real" }, /leave `init` out/);
  });
});

it("the former level is reached where the mean over as many steps is as good", () => {
  const curve = (losses: readonly number[]) => losses.map((loss, i) => ({ step: i + 1, loss }));
  expect(stepsToFormer(curve([9, 3, 1]), curve([7, 5, 4, 4, 3]))).toEqual({
    ...{ by: "loss", value: 13 / 3, steps: 4 },
  });
  expect(stepsToFormer(curve([1]), curve([3, 2]))).toEqual({ by: "loss", value: 1 });
  expect(stepsToFormer([], curve([1]))).toBeUndefined();
});
