/**
 * A whole distillation step against LGM's recipe in PyTorch (bench/peers/lgm.py) with the same encoder, classes and
 * image size, in one run, in turns of two seconds of steps, each in its own process: medians of the time, peak memory, ratios.
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
}

export interface DistillSteps {
  readonly model: string;
  readonly size: number;
  readonly m: number;
  readonly classes: number;
  readonly device: string;
  readonly precision: string;
  readonly rounds: number;
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
const sides = new Map<string, Peer>();
try {
  let model = options.model;
  if (peerPython() === undefined) notes.push("the peers are not installed (bench/peers/setup)");
  else model = exportedModel(options.model, size);
  const own = ["--encoder", model, "--size", `${size}`, "--m", `${m}`, "--classes", `${classes}`];
  own.push("--real", `${real}`, "--threads", `${threads}`, "--device", options.device);
  own.push("--precision", options.precision);
  sides.set("CLP-DD", Peer.own("own-step.js", own));
  if (!options.pair) {
    const lgm = ["--method", "lgm", "--augment", `${augmentations}`];
    sides.set("LGM, here", Peer.own("own-step.js", [...own, ...lgm]));
  }
  const device = options.device === "cpu" ? "cpu" : "cuda";
  for (const [name, arrangement] of peerPython() === undefined ? [] : Object.entries(arrangements)) {
    if (arrangement === "processes" && device !== "cpu") continue;
    const peer = Peer.python("lgm.py");
    // Its memory grows with the images: where that is too much, the other sides continue.
    try {
      const shape = { name: options.model, size, m, classes, real, augmentations, threads, device };
      await peer.ask("load", { ...shape, arrangement });
      await peer.ask("run");
      sides.set(name, peer);
    } catch (error) {
      notes.push(`${name} was not run: ${messageOf(error)}`);
      await peer.end();
    }
  }
  const times = await inTurn(
    Object.fromEntries(
      [...sides].map(([name, side]) => [name, () => side.ask<number>("run", { seconds: turnSeconds })]),
    ),
    // Every turn begins with a step that does not count.
    { warmUp: 0, seconds: Number(options.seconds), least: 1 },
  );
  const measured: StepSide[] = [];
  for (const [name, side] of sides) {
    const { peakMemoryBytes } = await side.ask<{ peakMemoryBytes: number }>("memory");
    measured.push({ name, msPerStep: median(times[name]), peakMemoryBytes });
  }
  const ours = measured[0];
  const theirs = measured.filter(({ name }) => name in arrangements);
  const result: DistillSteps = {
    model: options.model,
    size,
    m,
    classes,
    device: options.device,
    precision: options.precision,
    notes,
    sides: measured,
    rounds: times["CLP-DD"].length,
    ...(theirs.length > 0
      ? {
          ratio: Math.min(...theirs.map((side) => side.msPerStep)) / ours!.msPerStep,
          memoryRatio: Math.min(...theirs.map((side) => side.peakMemoryBytes)) / ours!.peakMemoryBytes,
        }
      : {}),
  };
  console.log(JSON.stringify(result));
} finally {
  for (const side of sides.values()) await side.end();
  await rm(folder, { recursive: true, force: true });
}
