import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { replaceFile } from "../data/disk.ts";
import { hubReach, openDataSet } from "../data/open-node.ts";
import type { HubReach } from "../data/sets/open-node.ts";
import { runDistillation } from "../distill/run-node.ts";
import type { CompareParams } from "../engine/params.ts";
import type { JobContext } from "../engine/protocol.ts";
import { ClpError, InterruptedError } from "../errors.ts";
import { version } from "../version.ts";
import { runBaseline } from "./baseline-node.ts";
import {
  type Cell,
  type CompareConfig,
  cellsOf,
  checkedCompareConfig,
  type NamedEncoder,
  namedEncoder,
} from "./compare-config.ts";
import { type Evaluation, runEvaluation } from "./run-node.ts";

/** A cell that was run: what it is, and how its images do under each encoder. */
export interface CellResult {
  readonly cell: Cell;
  readonly evaluations: readonly Evaluation[];
}

/** A grid as far as it was run. */
export interface Comparison {
  readonly config: CompareConfig;
  readonly cells: readonly CellResult[];
  readonly failures: readonly { readonly cell: string; readonly message: string }[];
}

/** Raised when a result is laid out otherwise, or measured otherwise from the same configuration. */
const format = 1;

/**
 * Runs a grid cell by cell: each makes its set of images (a distillation or a baseline) and evaluates it. What
 * is done is kept under `out/cells`, keyed by its configuration, so that a killed run goes on where it was, a
 * distillation at its last checkpoint, and a longer grid takes up the cells of a shorter one. A cell that
 * fails is told and the others are run.
 */
export async function runComparison(params: CompareParams, context: JobContext): Promise<Comparison> {
  const config = checkedCompareConfig(params.config, "The grid");
  const out = resolve(params.out);
  const cells = cellsOf(config);
  const identify = identifier(config, hubReach(params.hub, context));
  const results: CellResult[] = [];
  const failures: { cell: string; message: string }[] = [];
  const folders = new Map<string, string>();
  for (const [k, cell] of cells.entries()) {
    const name = describeCell(cell);
    context.note(`[${k + 1}/${cells.length}] ${name}`);
    try {
      const keys = await identify(cell, folders);
      const folder = join(out, "cells", keys.set);
      folders.set(placeOf(cell, cell.method), folder);
      const path = join(folder, `${keys.evaluation}.json`);
      const known = await readJson(path);
      const evaluations =
        (known as CellResult | undefined)?.evaluations ??
        (await runCell(cell, folder, config, params, context, folders));
      if (known === undefined) {
        const { data, encoder, method, ipc, seed } = cell;
        const what = { data: data.data, encoder: encoder.encoder.text, method, ipc, seed };
        await replaceFile(path, `${JSON.stringify({ ...what, cell, evaluations })}\n`);
      }
      results.push({ cell, evaluations });
    } catch (error) {
      if (error instanceof InterruptedError || context.signal.aborted) {
        throw new InterruptedError(
          `Stopped in cell ${k + 1} of ${cells.length} (${name}). The same command goes on from there.`,
          { cause: error },
        );
      }
      if (!(error instanceof ClpError)) throw error;
      failures.push({ cell: name, message: error.message });
      context.note(`Failed: ${error.message}`);
    }
  }
  return { config, cells: results, failures };
}

/** "emoji, efficientnet-lite0@128, clp, 1 image a class, seed 0". */
function describeCell({ data, encoder, method, ipc, seed }: Cell): string {
  return `${data.data}, ${encoder.encoder.text}, ${method}, ${ipc} image${ipc === 1 ? "" : "s"} a class, seed ${seed}`;
}

async function runCell(
  cell: Cell,
  folder: string,
  config: CompareConfig,
  params: CompareParams,
  context: JobContext,
  folders: ReadonlyMap<string, string>,
): Promise<Evaluation[]> {
  const { cacheFolder, maxBad, device, threads, memoryBytes, hub } = params;
  const machine = { cacheFolder, maxBad, device, threads, hub };
  const { text: _, ...encoder } = cell.encoder.encoder;
  const set = join(folder, "set");
  await mkdir(folder, { recursive: true });
  if (!existsSync(join(set, "manifest.json"))) {
    const common = { ...machine, ...encoder, data: cell.data.data, resize: config.resize, out: set };
    const run = { ...common, config: cell.config, baselines: false };
    if (cell.baseline === undefined) {
      const resume = existsSync(join(`${set}.checkpoint`, "checkpoint.safetensors"));
      await runDistillation({ ...run, memoryBytes, resume, preset: cell.preset }, context);
    } else {
      const of = cell.of === undefined ? undefined : join(folders.get(placeOf(cell, cell.of))!, "set");
      await runBaseline({ ...run, kind: cell.baseline, of }, context);
    }
  }
  const { probes, epochs, draws, augmentation, fullEpochs } = config.evaluate;
  const evaluations: Evaluation[] = [];
  for (const on of encodersOn(cell, config)) {
    const own = on.text === cell.encoder.encoder.text;
    evaluations.push(
      ...(await runEvaluation(
        {
          ...{
            ...machine,
            artifacts: [set],
            data: cell.data.data,
            encoders: [on.text],
            probes,
            draws,
            augmentation,
          },
          ...{ seeds: cell.headSeeds, references: false },
          ...{ epochs: cell.baseline === "full" ? (fullEpochs ?? epochs) : epochs },
          ...(own ? { resize: config.resize } : { resize: resizeOn(config, on.size) }),
        },
        context,
      )),
    );
  }
  return evaluations;
}

const encodersOn = (cell: Cell, { evaluateOn }: CompareConfig): NamedEncoder[] =>
  evaluateOn?.map(namedEncoder) ?? [cell.encoder.encoder];

/** A shorter edge that was set for one input size is set for the same size of another encoder. */
function resizeOn(config: CompareConfig, size: number | undefined): number | undefined {
  const sizes = config.encoders.map((e) => namedEncoder(e.encoder).size);
  return config.resize !== undefined && size !== undefined && sizes.includes(size)
    ? config.resize
    : undefined;
}

/** Where, in a grid, the set of a method lies beside another's. */
const placeOf = ({ data, encoder, ipc, seed }: Cell, method: string): string =>
  JSON.stringify([data.data, encoder.encoder.text, ipc, seed, method]);

/** Names cells by what they are of: the data's and the encoder's contents, and every setting. */
function identifier(config: CompareConfig, reach: HubReach | undefined) {
  const contents = new Map<string, Promise<string>>();
  const once = (key: string, read: () => Promise<string>) => {
    const known = contents.get(key) ?? read();
    contents.set(key, known);
    return known;
  };
  const dataOf = (name: string) =>
    once(`data ${name}`, async () => {
      const source = await openDataSet(name, reach);
      return Promise.all(source.splits.map((split) => source.fingerprint(split))).then((all) => all.join());
    });
  const encoderOf = (name: string) => once(`encoder ${name}`, () => fileHash(name));
  return async (cell: Cell, folders: ReadonlyMap<string, string>) => {
    const { encoder } = cell.encoder;
    const { text, ...spec } = encoder;
    const set = hashOf({
      ...{
        format,
        version,
        spec,
        resize: config.resize,
        config: cell.config,
        ipc: cell.ipc,
        seed: cell.seed,
      },
      ...{ baseline: cell.baseline, preset: cell.preset },
      of: cell.of === undefined ? undefined : folders.get(placeOf(cell, cell.of)),
      contents: [await dataOf(cell.data.data), await encoderOf(spec.encoder)],
    });
    const on = encodersOn(cell, config);
    const { seeds: _, fullSeeds: __, fullEpochs, ...settings } = config.evaluate;
    const epochs = cell.baseline === "full" ? (fullEpochs ?? settings.epochs) : settings.epochs;
    const evaluation = hashOf({
      ...{
        format,
        version,
        settings: { ...settings, epochs },
        headSeeds: cell.headSeeds,
        on: on.map((e) => e.text),
      },
      contents: await Promise.all(on.map((e) => encoderOf(e.encoder))),
    });
    return { set, evaluation };
  };
}

const hashOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);

/** The hash of a file, or the name of what is none. */
async function fileHash(name: string): Promise<string> {
  const isFile = await stat(name).then(
    (s) => s.isFile(),
    () => false,
  );
  if (!isFile) return name;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(name)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

/** The JSON in a file; undefined without one, and for one that no run of this wrote whole. */
async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
