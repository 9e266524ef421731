/**
 * A whole distillation step against LGM's recipe in PyTorch (bench/peers/lgm.py) with the same encoder, classes and
 * image size, in turns of two seconds of steps, each side in its own process: medians of the time, peak memory, ratios. One
 * rival at a time stands beside ours: all of them together need more memory than the machine may have, and then all wait
 * for the disk.
 *
 *   node distill-step.js [--model efficientnet-lite0] [--size 128] [--m 10] [--classes 10] [--seconds 10] [--pair]
 *                        [--device cpu|webgpu|cuda] [--precision float32|float16]
 *
 * Ends with one line of JSON: `DistillSteps`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/errors.ts";
import { inTurn, median } from "../lib/measure.ts";
import { exportedModel, Peer, peerPython } from "../lib/peer.ts";

export interface StepSide {
  readonly name: string;
  readonly msPerStep: number;
  readonly peakMemoryBytes: number;
  /** Its time over ours in the same turns; absent for ours. */
  readonly ratio?: number;
}

export interface DistillSteps {
  readonly model: string;
  readonly size: number;
  readonly m: number;
  readonly classes: number;
  readonly device: string;
  readonly precision: string;
  readonly notes: readonly string[];
  /** Ours; ours with LGM's objective and its 10 augmentations unless `--pair`; LGM in PyTorch where there are peers. */
  readonly sides: readonly StepSide[];
  /** LGM in PyTorch over ours: the time of the fastest arrangement, and the memory of the one that needs least. */
  readonly ratio?: number;
  readonly memoryRatio?: number;
}

/** PyTorch's arrangements by the names of their sides: in one process, and in one for each core. */
const arrangements = {
  "LGM, PyTorch": "eager",
  "LGM, PyTorch compiled": "compiled",
  "LGM, PyTorch process per core": "processes",
} as const;

/** Of consecutive steps in a turn: what JavaScript's compiler and the caches have seen is what a run gets. */
const turnSeconds = 2;

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "efficientnet-lite0" },
    size: { type: "string", default: "128" },
    m: { type: "string", default: "10" },
    classes: { type: "string", default: "10" },
    seconds: { type: "string", default: "10" },
    threads: { type: "string", default: "2" },
    pair: { type: "boolean", default: false },
    device: { type: "string", default: "cpu" },
    precision: { type: "string", default: "float32" },
  },
});
/** LGM's number (arXiv 2511.16674). */
const augmentations = 10;
const real = 512;
const [size, m, threads] = [Number(options.size), Number(options.m), Number(options.threads)];
const classes = Number(options.classes);
const folder = await mkdtemp(join(tmpdir(), "clp-dd-step-"));
const notes: string[] = [];
const open = new Set<Peer>();
const opened = (peer: Peer): Peer => {
  open.add(peer);
  return peer;
};
try {
  let model = options.model;
  if (peerPython() === undefined) notes.push("the peers are not installed (bench/peers/setup)");
  else model = exportedModel(options.model, size);
  const own = ["--encoder", model, "--size", `${size}`, "--m", `${m}`, "--classes", `${classes}`];
  own.push("--real", `${real}`, "--threads", `${threads}`, "--device", options.device);
  own.push("--precision", options.precision);
  const ours = opened(Peer.own("own-step.js", own));
  const lgm = ["--method", "lgm", "--augment", `${augmentations}`];
  const rivals: [name: string, start: () => Promise<Peer>][] = [];
  if (!options.pair)
    rivals.push(["LGM, here", async () => opened(Peer.own("own-step.js", [...own, ...lgm]))]);
  const device = options.device === "cpu" ? "cpu" : "cuda";
  for (const [name, arrangement] of peerPython() === undefined ? [] : Object.entries(arrangements)) {
    if (arrangement === "processes" && device !== "cpu") continue;
    rivals.push([
      name,
      async () => {
        const peer = opened(Peer.python("lgm.py"));
        const shape = { name: options.model, size, m, classes, real, augmentations, threads, device };
        await peer.ask("load", { ...shape, arrangement });
        await peer.ask("run");
        return peer;
      },
    ]);
  }
  const turn = (side: Peer) => side.ask<number>("run", { seconds: turnSeconds });
  const memoryOf = async (side: Peer) =>
    (await side.ask<{ peakMemoryBytes: number }>("memory")).peakMemoryBytes;
  // Every turn begins with a step that does not count.
  const turns = { warmUp: 0, seconds: Number(options.seconds) / Math.max(1, rivals.length), least: 1 };
  const ownTimes: number[] = [];
  const measured: StepSide[] = [];
  for (const [name, start] of rivals) {
    let rival: Peer | undefined;
    // Its memory grows with the images: where that is too much, the other sides continue.
    try {
      rival = await start();
      const their = rival;
      const times = await inTurn({ ours: () => turn(ours), their: () => turn(their) }, turns);
      ownTimes.push(...times.ours);
      const msPerStep = median(times.their);
      const ratio = msPerStep / median(times.ours);
      measured.push({ name, msPerStep, peakMemoryBytes: await memoryOf(rival), ratio });
    } catch (error) {
      notes.push(`${name} was not run: ${messageOf(error)}`);
    } finally {
      await rival?.end();
    }
  }
  if (ownTimes.length === 0) ownTimes.push(...(await inTurn({ ours: () => turn(ours) }, turns)).ours);
  const clp: StepSide = {
    name: "CLP-DD",
    msPerStep: median(ownTimes),
    peakMemoryBytes: await memoryOf(ours),
  };
  const theirs = measured.filter(({ name }) => name in arrangements);
  const result: DistillSteps = {
    model: options.model,
    size,
    m,
    classes,
    device: options.device,
    precision: options.precision,
    notes,
    sides: [clp, ...measured],
    ...(theirs.length > 0
      ? {
          ratio: Math.min(...theirs.map((side) => side.ratio!)),
          memoryRatio: Math.min(...theirs.map((side) => side.peakMemoryBytes)) / clp.peakMemoryBytes,
        }
      : {}),
  };
  console.log(JSON.stringify(result));
} finally {
  for (const side of open) await side.end();
  await rm(folder, { recursive: true, force: true });
}
