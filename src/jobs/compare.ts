import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { JobContext } from "../context.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import { loadEncoderModel } from "../encoder/load/load.ts";
import { ClpError, InterruptedError } from "../errors.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { makeFolders, replaceFile } from "../files/disk.ts";
import { version } from "../version.ts";
import { runBaseline } from "./baseline.ts";
import {
  type Cell,
  type CompareConfig,
  cellsOf,
  checkedCompareConfig,
  type NamedEncoder,
  namedEncoder,
} from "./compare-config.ts";
import { runDistillation } from "./distill.ts";
import { runEvaluation } from "./evaluate.ts";
import type { CompareParams } from "./params.ts";

/** A cell that was run: what it is, and how its images do under each encoder, as the grid names these. */
export interface CellResult {
  readonly cell: Cell;
  readonly on: readonly string[];
  readonly evaluations: readonly Evaluation[];
}

/** A grid as far as it was run. */
export interface Comparison {
  readonly config: CompareConfig;
  readonly cells: readonly CellResult[];
  readonly failures: readonly { readonly cell: string; readonly message: string }[];
}

/** Raised when a result is laid out otherwise, or measured otherwise from the same configuration. */
const format = 2;

/**
 * Runs a grid cell by cell: each makes its set of images (a distillation or a baseline) and evaluates it. What
 * is done is kept under `out/cells`, keyed by its configuration, so that a killed run resumes where it was, a
 * distillation at its last checkpoint, and a longer grid takes up the cells of a shorter one. A cell that
 * fails is reported and the others are run.
 */
export async function runComparison(params: CompareParams, context: JobContext): Promise<Comparison> {
  const config = checkedCompareConfig(params.config, "The grid");
  const out = resolve(params.out);
  const cells = cellsOf(config);
  const identify = identifier(config, params, context);
  const results: CellResult[] = [];
  const failures: { cell: string; message: string }[] = [];
  const sets = new Map<string, string>();
  for (const [k, cell] of cells.entries()) {
    const name = describeCell(cell);
    const place = `[${k + 1}/${cells.length}]`;
    context.note(`${place} ${name}`);
    try {
      const of = cell.of && sets.get(placeOf(cell, cell.of.method, cell.of.seed));
      const keys = await identify(cell, of);
      const folderOf = (set: string) => join(out, "cells", set);
      const folder = folderOf(keys.set);
      sets.set(placeOf(cell, cell.method, cell.seed), keys.set);
      const path = join(folder, `${keys.evaluation}.json`);
      const known = await readJson(path);
      const evaluations =
        (known as CellResult | undefined)?.evaluations ??
        (await runCell(cell, folder, of && join(folderOf(of), "set"), config, params, context));
      if (known === undefined) {
        const { data, encoder, method, ipc, seed } = cell;
        const what = { data: data.data, encoder: encoder.encoder.text, method, ipc, seed };
        await replaceFile(path, `${JSON.stringify({ ...what, cell, evaluations })}\n`);
      }
      results.push({ cell, on: encodersOn(cell, config).map(({ text }) => text), evaluations });
    } catch (error) {
      if (error instanceof InterruptedError || context.signal.aborted) {
        throw new InterruptedError(
          `Stopped in cell ${k + 1} of ${cells.length} (${name}). The same command resumes there.`,
          { cause: error },
        );
      }
      if (!(error instanceof ClpError)) throw error;
      failures.push({ cell: name, message: error.message });
      context.note(`${place} failed: ${error.message}`);
    }
  }
  return { config, cells: results, failures };
}

/** "emoji, efficientnet-lite0@128, clp, 1 image per class, seed 0". */
function describeCell({ data, encoder, method, ipc, seed }: Cell): string {
  return `${data.data}, ${encoder.encoder.text}, ${method}, ${ipc} image${ipc === 1 ? "" : "s"} per class, seed ${seed}`;
}

/** @param of the set whose neighbors are taken */
async function runCell(
  cell: Cell,
  folder: string,
  of: string | undefined,
  config: CompareConfig,
  params: CompareParams,
  context: JobContext,
): Promise<Evaluation[]> {
  const { cacheFolder, maxBad, device, precision, threads, memoryBytes, hub } = params;
  const machine = { cacheFolder, maxBad, device, precision, threads, memoryBytes, hub };
  const { text: _, ...encoder } = cell.encoder.encoder;
  const set = join(folder, "set");
  await makeFolders(folder);
  if (!existsSync(join(set, "manifest.json"))) {
    const common = { ...machine, ...encoder, data: cell.data.data, resize: config.resize, out: set };
    const run = { ...common, config: cell.config, baselines: false };
    if (cell.baseline === undefined) {
      const resume = existsSync(join(`${set}.checkpoint`, "checkpoint.safetensors"));
      await runDistillation({ ...run, resume, preset: cell.preset }, context);
    } else {
      await runBaseline({ ...run, kind: cell.baseline, of }, context);
    }
  }
  const { probes, epochs, draws, augmentation, edits, fullEpochs } = config.evaluate;
  const evaluations: Evaluation[] = [];
  for (const on of encodersOn(cell, config)) {
    evaluations.push(
      ...(await runEvaluation(
        {
          ...machine,
          artifacts: [set],
          data: cell.data.data,
          encoders: [on.text],
          probes,
          draws,
          augmentation,
          edits,
          seeds: cell.headSeeds,
          references: false,
          epochs: cell.baseline === "full" ? (fullEpochs ?? epochs) : epochs,
          resize: resizeOn(cell, on, config),
        },
        context,
      )),
    );
  }
  return evaluations;
}

const encodersOn = (cell: Cell, { evaluateOn }: CompareConfig): NamedEncoder[] =>
  evaluateOn?.map(namedEncoder) ?? [cell.encoder.encoder];

/**
 * Shorter edge that real images are resized to under an encoder: that of the grid under the encoders that sets are
 * made with, and under others of the same input size.
 */
function resizeOn(
  cell: Cell,
  { text, size }: NamedEncoder,
  { resize, encoders }: CompareConfig,
): number | "own" {
  const alike = size !== undefined && encoders.some((e) => namedEncoder(e.encoder).size === size);
  return (text === cell.encoder.encoder.text || alike ? resize : undefined) ?? "own";
}

/** Where, in a grid, the set of a method and seed is beside a cell. */
const placeOf = ({ data, encoder, ipc }: Cell, method: string, seed: number): string =>
  JSON.stringify([data.data, encoder.encoder.text, ipc, seed, method]);

/** Names cells by what they are of: the data's and the encoder's contents, and every setting. */
function identifier(config: CompareConfig, params: CompareParams, context: JobContext) {
  const contents = new Map<string, Promise<string>>();
  const once = (key: string, read: () => Promise<string>) => {
    const known = contents.get(key) ?? read();
    contents.set(key, known);
    return known;
  };
  const dataOf = (name: string) =>
    once(`data ${name}`, async () => {
      const source = await openDataSet(name, hubReach(params.hub, context));
      return Promise.all(source.splits.map((split) => source.fingerprint(split))).then((all) => all.join());
    });
  const { hub } = params;
  const encoderOf = ({ text, encoder, ...options }: NamedEncoder) =>
    once(`encoder ${text}`, async () => {
      const model = await loadEncoderModel(encoder, { ...options, ...(hub ? { hub } : {}), context });
      return hashOf([model.provenance.sha256, model.preprocessing]);
    });
  return async (cell: Cell, of: string | undefined) => {
    const { encoder } = cell.encoder;
    const { text: _, ...spec } = encoder;
    const set = hashOf({
      format,
      version,
      spec,
      resize: config.resize,
      config: cell.config,
      ipc: cell.ipc,
      seed: cell.seed,
      baseline: cell.baseline,
      preset: cell.preset,
      ...(params.precision === "float16" ? { precision: params.precision } : {}),
      of,
      contents: [await dataOf(cell.data.data), await encoderOf(encoder)],
    });
    const on = encodersOn(cell, config);
    const { seeds: __, fullSeeds: ___, fullEpochs, ...settings } = config.evaluate;
    const epochs = cell.baseline === "full" ? (fullEpochs ?? settings.epochs) : settings.epochs;
    const evaluation = hashOf({
      format,
      version,
      settings: { ...settings, epochs },
      headSeeds: cell.headSeeds,
      on: on.map((e) => [e.text, resizeOn(cell, e, config)]),
      contents: await Promise.all(on.map(encoderOf)),
    });
    return { set, evaluation };
  };
}

const hashOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);

/** The JSON in a file; undefined without one, and for one that no run of this wrote whole. */
async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
