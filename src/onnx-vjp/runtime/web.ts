import * as ort from "onnxruntime-web/wasm";
import { GraphBuilder } from "../graph/builder.ts";
import type { Graph } from "../graph/ir.ts";
import type { Runtime } from "../graph/runtime.ts";
import { type WebOrt, webSessions } from "./web-sessions.ts";

export interface WebRuntimeOptions {
  /**
   * Where ONNX Runtime's two files for WebAssembly are: a folder's address that ends in "/", or each of them. By default
   * beside the script.
   */
  readonly wasmPaths?: string | { readonly mjs?: string; readonly wasm?: string };
  /** The file for WebAssembly itself, where it was fetched already, such as with its progress shown. */
  readonly wasmBinary?: ArrayBuffer;
  /**
   * Threads inside an operator. More than one need a page that is isolated from other origins
   * (`crossOriginIsolated`): elsewhere there is one. All runtimes of a page or worker share the number of the first.
   */
  readonly threads?: number;
}

/** Threads that this place allows. */
const threadsAllowed = (asked: number): number => (globalThis.crossOriginIsolated ? Math.max(1, asked) : 1);

const initialized = new Map<WebOrt, number>();

function initialize(build: WebOrt, { wasmPaths, wasmBinary, threads = 1 }: WebRuntimeOptions): number {
  const before = initialized.get(build);
  if (before !== undefined) return before;
  const allowed = threadsAllowed(threads);
  initialized.set(build, allowed);
  build.env.wasm.numThreads = allowed;
  build.env.wasm.proxy = false;
  if (wasmPaths !== undefined) build.env.wasm.wasmPaths = wasmPaths;
  if (wasmBinary !== undefined) build.env.wasm.wasmBinary = wasmBinary;
  build.env.logLevel = "error";
  return allowed;
}

/** ONNX Runtime for browsers, in WebAssembly. `run` blocks the thread that it is called on: use it in a worker. */
export function webRuntime(options: WebRuntimeOptions = {}): Runtime {
  return webSessions(ort, "cpu", initialize(ort, options));
}

/** A runtime on a GPU. */
export interface WebgpuRuntime extends Runtime {
  /** Resolves with the browser's reason once the GPU is lost: its sessions are of no use from then on. */
  readonly lost: Promise<string>;
}

/**
 * ONNX Runtime for browsers, on the GPU, with a build of its own that is fetched when it is asked for. Results differ from
 * those of WebAssembly in the last digits; on a faulty driver by more: compare them before use.
 * @throws Error where the browser has no WebGPU, or none of the stack switching (JSPI) that the build needs
 */
export async function webgpuRuntime(options: WebRuntimeOptions = {}): Promise<WebgpuRuntime> {
  const { gpu } = navigator as { readonly gpu?: { requestAdapter(): Promise<object | null> } };
  if (gpu === undefined) throw new Error("This browser has no WebGPU.");
  if (!("Suspending" in WebAssembly)) throw new Error("This browser has no stack switching (JSPI).");
  if ((await gpu.requestAdapter()) === null) throw new Error("This browser has no GPU for WebGPU.");
  const build = (await import("onnxruntime-web/jspi")) as WebOrt;
  const runtime = webSessions(build, "webgpu", initialize(build, options));
  // The build has a device for as long as there is a session on it: this one stays.
  await runtime.session(anything());
  const device = build.env.webgpu.device as unknown as Device;
  return { ...runtime, lost: device.lost.then(({ message }) => message) };
}

/** The smallest of graphs. */
function anything(): Graph {
  const b = new GraphBuilder();
  b.output(b.op("Neg", [b.input("x", [1])]), { dims: [1] });
  return b.graph;
}

/** What is used of a browser's `GPUDevice`. */
interface Device {
  readonly lost: Promise<{ readonly message: string }>;
}
