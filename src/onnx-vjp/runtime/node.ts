import { availableParallelism, totalmem } from "node:os";
import { UsageError } from "../errors.ts";
import { blockedDomain } from "../fit/blocked/layout.ts";
import { notForWebgpu, withPadsApart } from "../fit/fit-webgpu.ts";
import { withSymmetricPads } from "../fit/symmetric-pads.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type Graph, int, sizeOf } from "../graph/ir.ts";
import type { Device, Runtime, Session, SessionOptions } from "../graph/runtime.ts";
import { type ExternalConstant, writeOnnx } from "../graph/write-onnx.ts";
import * as ort from "./binding.ts";
import { SessionOutputs, withSentinel } from "./outputs.ts";
import { isOfDevice, refusal, unusableDevice } from "./refusal.ts";

export interface NodeRuntimeOptions {
  readonly device?: Device;
  /** Threads inside an operator (default: one per available core). */
  readonly threads?: number | undefined;
  /** Bytes that a model's values may take, at least 256 MiB (default: a quarter of the machine's memory). */
  readonly memoryBytes?: number | undefined;
}

/** What any machine has: a limit below it says how much to keep between calls, not that a model is too large. */
const harmlessBytes = 2 ** 28;

/** Most threads: more only take memory, of which a million would need all that a machine has. */
export const mostThreads = (): number => Math.max(16, 4 * availableParallelism());

/**
 * Rules and passes put transposes where they are cheap, mostly into products. ONNX Runtime's own pass moves them
 * on, and where it ends in a permutation of two separate axes the copy takes longer than the products around it.
 */
const optimizersOff = ["TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider"];

/** One would put padding back that fit-webgpu.ts took apart; the other makes four operators of a product and a sum. */
const optimizersOffOnCards = ["Pad_Fusion", "MatMulAddFusion"];

/**
 * Every session has its own threads. By default they keep a core busy for a while after a run, waiting for the
 * next one: with the sessions of a step (rendering, forward, pullback) in turn, each ran beside the last one's
 * waiting threads. Without it a step on 2 cores took 72 ms instead of 244 (docs/notes/performance.md).
 */
const threadsThatSleep = { intra_op: { allow_spinning: "0" } };

/** The providers of a device, in the order in which they are asked for each node of a graph. */
function providersOf(device: Device, graph?: Graph): ort.InferenceSession.ExecutionProviderConfig[] {
  if (device === "cpu") return ["cpu"];
  if (device === "cuda") return ["cuda", "cpu"];
  const others = graph === undefined ? [] : notForWebgpu(graph).map((node) => node.name);
  const webgpu = {
    name: "webgpu" as const,
    // Buffers are kept for the next value of their size; otherwise memory grows with every size that was ever used.
    storageBufferCacheMode: "simple" as const,
    ...(others.length > 0 ? { forceCpuNodeNames: others } : {}),
  };
  return [webgpu, "cpu"];
}

/** Whether a graph's outputs take longer to copy than one more operator, on the CPU, takes a GPU. */
const isLarge = (graph: Graph): boolean =>
  graph.outputs.some(({ dims }) => dims.length > 0 && sizeOf(dims.map(Number)) >= 2 ** 21);

/** The graph in a form that a device's provider runs, and runs correctly. */
function fitTo(device: Device, graph: Graph): Graph {
  if (device === "cuda") return withSymmetricPads(graph);
  return device === "webgpu" ? withPadsApart(graph) : graph;
}

const onDevice = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, "gpu-buffer" as const]));

/** Constants from this size on are handed over by reference instead of through the protobuf. */
const externalFrom = 4096;

/** What sessions of a device have in common. */
function optionsOf(device: Device, threads: number): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: providersOf(device),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A pattern is a second allocation of a run's whole peak, beside what the first run took; it saves no time here.
    enableMemPattern: false,
    // Errors are thrown; ONNX Runtime would write them to the terminal, too. Only there does it name a GPU's missing library.
    logSeverityLevel: device === "cpu" ? 4 : 3,
    extra: {
      session: threadsThatSleep,
      optimization: {
        disable_specified_optimizers: (device === "cpu" ? optimizersOff : optimizersOffOnCards).join(";"),
      },
    },
  };
}

/**
 * A session on the CPU, with one thread, of a model in a file. Its weights stay in the file, which the system maps into
 * memory once for all processes that read it: they are not laid out anew for speed, which would copy them for each.
 */
export async function storedSession(path: string): Promise<Session> {
  const base = optionsOf("cpu", 1);
  const session = await ort.InferenceSession.create(path, {
    ...base,
    graphOptimizationLevel: "all",
    extra: { ...base.extra, session: { ...threadsThatSleep, disable_prepacking: "1" } },
  });
  return wrap(session, []);
}

/** ONNX Runtime's native binding for Node. `run` blocks the thread it is called on. */
export function nodeRuntime(options: NodeRuntimeOptions = {}): Runtime {
  const device = options.device ?? "cpu";
  const threads = options.threads ?? availableParallelism();
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > mostThreads()) {
    throw new UsageError(
      `\`threads: ${threads}\` was given. Expected a whole number from 1 to ${mostThreads()} on this machine, which has ` +
        `${availableParallelism()} cores.`,
    );
  }
  const base = optionsOf(device, threads);
  const create = async (
    graph: Graph,
    model: Uint8Array,
    external: readonly ExternalConstant[],
    { optimize, profile, stay = [] }: SessionOptions,
  ): Promise<Session> => {
    // A graph that runs as written (tracing) runs once or twice: on the CPU, where nothing has to be compiled for
    // it, and without weights laid out anew for speed.
    const level =
      optimize === "off"
        ? {
            executionProviders: ["cpu"],
            // What is computed once becomes constants: the same ones whatever the threads.
            intraOpNumThreads: 1,
            graphOptimizationLevel: "disabled" as const,
            extra: { session: { ...threadsThatSleep, disable_prepacking: "1" } },
          }
        : { graphOptimizationLevel: "all" as const };
    const session = await ort.InferenceSession.create(model, {
      ...base,
      executionProviders: providersOf(device, graph),
      ...level,
      ...(external.length > 0 ? { externalData: [...external] } : {}),
      ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
      ...(device === "webgpu" && stay.length > 0 ? { preferredOutputLocation: onDevice(stay) } : {}),
    });
    return wrap(session, external);
  };
  /** The error of a device that runs no graph, where a session was refused for that; undefined else. */
  const deviceError = async (error: unknown) => {
    if (device === "cpu") return undefined;
    return isOfDevice(error) || !(await runsAnything(base)) ? unusableDevice(device, error) : undefined;
  };
  return {
    device,
    threads,
    memoryBytes: Math.max(options.memoryBytes ?? totalmem() / 4, harmlessBytes),
    // The binding gives values of CUDA's no name in JavaScript.
    handsOver: device !== "cuda",
    prefersFewNodes: device === "cuda",
    ...(device === "cpu" ? { convolutionBlock } : {}),
    async session(graph: Graph, options: SessionOptions = {}) {
      // A graph that is traced runs once, and all its values are fetched; values that stay on a GPU go into no array.
      const fit = fitTo(device, graph);
      const staying = device !== "cpu" && (options.stay?.length ?? 0) > 0;
      const { graph: written, first } =
        staying || options.optimize === "off" || (device !== "cpu" && !isLarge(graph))
          ? { graph: fit, first: [] }
          : withSentinel(fit);
      const { model, external } = writeOnnx(written, {
        externalFrom,
        extraOutputs: [...first, ...(options.extraOutputs ?? [])],
      });
      try {
        return await create(fit, model, external, options);
      } catch (error) {
        throw (await deviceError(error)) ?? refusal(graph, error);
      }
    },
  };
}

/** Whether a session of these options can be had at all: for the least of graphs. */
async function runsAnything(options: ort.InferenceSession.SessionOptions): Promise<boolean> {
  const b = new GraphBuilder();
  b.output(b.op("Identity", [b.input("x", [1])]), { dims: [1] });
  try {
    const session = await ort.InferenceSession.create(writeOnnx(b.graph).model, {
      ...options,
      logSeverityLevel: 4,
    });
    await session.release();
    return true;
  } catch {
    return false;
  }
}

let knownBlock: Promise<number> | undefined;

/** Channels in a block of ONNX Runtime's blocked layout on this CPU; 1 where it has none. */
function convolutionBlock(): Promise<number> {
  knownBlock ??= measureBlock();
  return knownBlock;
}

/** A single channel becomes a block of them. */
async function measureBlock(): Promise<number> {
  const b = new GraphBuilder();
  const image = b.input("image", [1, 4, 1, 1]);
  const blocked = b.op("ReorderInput", [image], { channels_last: int(0) }, blockedDomain);
  b.output(blocked, { dims: [1, "channels", 1, 1] });
  try {
    const session = await ort.InferenceSession.create(writeOnnx(b.graph).model, { logSeverityLevel: 4 });
    const results = await session.run({
      [image]: new ort.Tensor("float32", new Float32Array(4), [1, 4, 1, 1]),
    });
    await session.release();
    return results[blocked].dims[1];
  } catch {
    return 1;
  }
}

// `external` stays referenced for as long as the session lives: ONNX Runtime reads these bytes in place.
function wrap(
  session: ort.InferenceSession,
  external: readonly ExternalConstant[],
): Session & { external: unknown } {
  const outputs = new SessionOutputs(session);
  return {
    external,
    graph: { inputs: session.inputNames, outputs: outputs.names, outputTypes: outputs.types },
    run: (feeds, { only, into } = {}) => outputs.run(feeds, only ?? outputs.names, into),
    release: () => session.release(),
  };
}
