import * as ort from "onnxruntime-web/wasm";
import type { DataType, Graph } from "../graph/ir.ts";
import type { Fetches, OutputType, Runtime, Session, SessionOptions } from "../graph/runtime.ts";
import { type ExternalConstant, writeOnnx } from "../graph/write-onnx.ts";
import { refusal } from "./refusal.ts";

export interface WebRuntimeOptions {
  /**
   * Where ONNX Runtime's two files for WebAssembly are: a folder's address that ends in "/", or each of them. By default
   * beside the script.
   */
  readonly wasmPaths?: string | { readonly mjs?: string; readonly wasm?: string };
  /**
   * Threads inside an operator. More than one need a page that is isolated from other origins
   * (`crossOriginIsolated`): elsewhere there is one. All runtimes of a page or worker share the number of the first.
   */
  readonly threads?: number;
}

/** Constants from this size on are handed over beside the protobuf, which would hold another copy of them. */
const externalFrom = 4096;

/** Rules put transposes where they are cheap; ONNX Runtime's own pass moves them on to where they are not (runtime/node.ts). */
const optimizersOff = "TransposeOptimizer;TransposeOptimizer_CPUExecutionProvider";

/** Threads that this place allows. */
const threadsAllowed = (asked: number): number => (globalThis.crossOriginIsolated ? Math.max(1, asked) : 1);

let initialized: number | undefined;

/** ONNX Runtime for browsers, in WebAssembly. `run` blocks the thread that it is called on: use it in a worker. */
export function webRuntime({ wasmPaths, threads = 1 }: WebRuntimeOptions = {}): Runtime {
  if (initialized === undefined) {
    initialized = threadsAllowed(threads);
    ort.env.wasm.numThreads = initialized;
    ort.env.wasm.proxy = false;
    if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
    ort.env.logLevel = "error";
  }
  /** Files that a model refers to are mounted for all sessions that are being made. */
  let making: Promise<unknown> = Promise.resolve();
  const create = async (
    model: Uint8Array,
    external: readonly ExternalConstant[],
    optimize: SessionOptions["optimize"],
  ): Promise<ort.InferenceSession> =>
    ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      enableMemPattern: false,
      logSeverityLevel: 4,
      graphOptimizationLevel: optimize === "off" ? "disabled" : "all",
      ...(external.length > 0 ? { externalData: [...external] } : {}),
      extra: {
        session: optimize === "off" ? { disable_prepacking: "1" } : {},
        optimization: { disable_specified_optimizers: optimizersOff },
      },
    });
  return {
    device: "cpu",
    threads: initialized,
    handsOver: true,
    prefersFewNodes: false,
    async session(graph: Graph, { optimize, extraOutputs = [] }: SessionOptions = {}) {
      const { model, external } = writeOnnx(graph, { externalFrom, extraOutputs });
      const made = making.then(() => create(model, external, optimize));
      making = made.catch(() => undefined);
      try {
        return wrap(await made);
      } catch (error) {
        throw refusal(graph, error);
      }
    },
  };
}

function wrap(session: ort.InferenceSession): Session {
  const outputTypes = new Map(
    session.outputMetadata.flatMap((o): [string, OutputType][] =>
      o.isTensor ? [[o.name, { dtype: o.type as DataType, dims: o.shape }]] : [],
    ),
  );
  return {
    graph: { inputs: session.inputNames, outputs: session.outputNames, outputTypes },
    async run(feeds, { only = session.outputNames, into = {} } = {}) {
      const results = await session.run(feeds, [...only]);
      return Object.fromEntries(only.map((name) => [name, written(results[name]!, into, name)]));
    },
    release: () => session.release(),
  };
}

/** The result, in the tensor that the caller gave for it: results come in new arrays from the runtime's own memory. */
function written(result: ort.Tensor, into: Fetches, name: string): ort.Tensor {
  const given = into[name];
  if (given === undefined) return result;
  (given.data as Float32Array).set(result.data as Float32Array);
  return given as ort.Tensor;
}
