import {
  type EncoderFile,
  messageOf,
  type OpenedEncoder,
  openEncoderFile,
  tryRuntime,
  webgpuRuntime,
} from "../../src/browser/index.ts";
import type { ComputeDevice } from "./protocol.ts";

/** An encoder on the GPU. */
export interface OnGpu extends OpenedEncoder {
  readonly lost: Promise<string>;
}

/** What the work gives, or an error as soon as the GPU is lost: work on it may never end then. */
export function unlessLost<T>(work: Promise<T>, lost: Promise<string> | undefined): Promise<T> {
  if (lost === undefined) return work;
  const failed = lost.then((reason): never => {
    throw new Error(reason || "the device was lost");
  });
  return Promise.race([work, failed]);
}

/** Largest share by which results of the GPU may differ from those of WebAssembly. */
const tolerance = 1e-3;

let opened: Promise<OnGpu> | undefined;
let isLost = false;

/**
 * The GPU, where the browser has one, a trial agrees with WebAssembly and, unless it was asked for by name, is quicker.
 * @returns why not, where it was tried or asked for
 */
export async function gpuFor(
  own: OpenedEncoder,
  file: EncoderFile,
  ortFolder: string,
  asked: ComputeDevice,
): Promise<{ readonly gpu?: OnGpu; readonly note?: string }> {
  if (asked === "wasm" || (asked === "auto" && !("gpu" in navigator))) return {};
  try {
    if (isLost) throw new Error("it was lost before; reload the page to try it again");
    opened ??= open(file, ortFolder);
    const gpu = await opened;
    const trial = await unlessLost(tryRuntime(own, gpu), gpu.lost);
    const worse = Math.max(trial.features, trial.gradient);
    if (!(worse <= tolerance)) {
      return {
        note: `WebGPU is not used: its results differ by ${worse.toExponential(1)} from WebAssembly's.`,
      };
    }
    const times = `${trial.theirSeconds.toFixed(2)} s instead of ${trial.ourSeconds.toFixed(2)} s for a trial`;
    if (asked === "auto" && trial.theirSeconds > trial.ourSeconds) {
      return { note: `WebGPU is not used: it takes ${times}.` };
    }
    return { gpu, note: `WebGPU: ${times}, results differ by ${worse.toExponential(1)}.` };
  } catch (error) {
    opened = undefined;
    return asked === "webgpu" ? { note: `WebGPU cannot be used: ${messageOf(error)}` } : {};
  }
}

async function open(file: EncoderFile, ortFolder: string): Promise<OnGpu> {
  const runtime = await webgpuRuntime({ wasmPaths: ortFolder });
  void runtime.lost.then(() => {
    isLost = true;
    opened = undefined;
  });
  return { runtime, encoder: await openEncoderFile(runtime, file), lost: runtime.lost };
}
