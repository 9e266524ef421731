import type * as ort from "onnxruntime-web/wasm";
import { notForWebgpu, withPadsApart } from "../fit/fit-webgpu.ts";
import type { DataType, Graph } from "../graph/ir.ts";
import type { Fetches, OutputType, Runtime, Session, SessionOptions } from "../graph/runtime.ts";
import { type ExternalConstant, writeOnnx } from "../graph/write-onnx.ts";
import { refusal } from "./refusal.ts";

/** What ONNX Runtime's builds for browsers have in common. */
export type WebOrt = typeof ort;

/** Constants from this size on are handed over beside the protobuf, which would hold another copy of them. */
const externalFrom = 4096;

/** Rules put transposes where they are cheap; ONNX Runtime's own pass moves them on to where they are not (runtime/node.ts). */
const optimizersOff = {
  cpu: "TransposeOptimizer;TransposeOptimizer_CPUExecutionProvider",
  webgpu: "Pad_Fusion;MatMulAddFusion",
} as const;

/** One thing after the other, whatever became of the one before. */
function queue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
}

/** A runtime of sessions of one of ONNX Runtime's builds, which is set up already. */
export function webSessions(build: WebOrt, device: "cpu" | "webgpu", threads: number): Runtime {
  // Files that a model refers to are mounted for all sessions that are being made.
  const making = queue();
  // On a GPU a run waits for the device, and the build takes no second one meanwhile.
  const running = device === "webgpu" ? queue() : <T>(work: () => Promise<T>) => work();
  const create = async (
    graph: Graph,
    model: Uint8Array,
    external: readonly ExternalConstant[],
    { optimize, stay = [] }: SessionOptions,
  ): Promise<ort.InferenceSession> => {
    const traced = optimize === "off";
    const onGpu = device === "webgpu" && !traced;
    const others = onGpu ? notForWebgpu(graph).map((node) => node.name) : [];
    return build.InferenceSession.create(model, {
      executionProviders: onGpu
        ? [{ name: "webgpu", ...(others.length > 0 ? { forceCpuNodeNames: others } : {}) }, "wasm"]
        : ["wasm"],
      enableMemPattern: false,
      logSeverityLevel: 4,
      graphOptimizationLevel: traced ? "disabled" : "all",
      ...(external.length > 0 ? { externalData: [...external] } : {}),
      ...(onGpu && stay.length > 0
        ? { preferredOutputLocation: Object.fromEntries(stay.map((name) => [name, "gpu-buffer" as const])) }
        : {}),
      extra: {
        session: traced ? { disable_prepacking: "1" } : {},
        optimization: { disable_specified_optimizers: optimizersOff[device] },
      },
    });
  };
  return {
    device,
    threads,
    handsOver: true,
    prefersFewNodes: false,
    async session(graph: Graph, options: SessionOptions = {}) {
      const fit = device === "webgpu" ? withPadsApart(graph) : graph;
      const { model, external } = writeOnnx(fit, {
        externalFrom,
        extraOutputs: options.extraOutputs ?? [],
      });
      try {
        // Making a session also needs the device.
        return wrap(await running(() => making(() => create(fit, model, external, options))), running);
      } catch (error) {
        throw refusal(graph, error);
      }
    },
  };
}

function wrap(session: ort.InferenceSession, running: <T>(work: () => Promise<T>) => Promise<T>): Session {
  const outputTypes = new Map(
    session.outputMetadata.flatMap((o): [string, OutputType][] =>
      o.isTensor ? [[o.name, { dtype: o.type as DataType, dims: o.shape }]] : [],
    ),
  );
  return {
    graph: { inputs: session.inputNames, outputs: session.outputNames, outputTypes },
    async run(feeds, { only = session.outputNames, into = {} } = {}) {
      const results = await running(() => session.run(feeds, [...only]));
      return Object.fromEntries(only.map((name) => [name, written(results[name]!, into, name)]));
    },
    release: () => running(() => session.release()),
  };
}

/** The result, in the tensor that the caller gave for it: results come in new arrays from the runtime's own memory. */
function written(result: ort.Tensor, into: Fetches, name: string): ort.Tensor {
  const given = into[name];
  if (given === undefined) return result;
  (given.data as Float32Array).set(result.data as Float32Array);
  return given as ort.Tensor;
}
