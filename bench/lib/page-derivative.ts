// Runs in a page: a model's feature and pixel gradient by ONNX Runtime for browsers.
import { readSafetensors } from "../../src/files/safetensors-bytes.ts";
import { readOnnx } from "../../src/onnx-vjp/graph/read-onnx.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { webgpuRuntime, webRuntime } from "../../src/onnx-vjp/runtime/web.ts";
import { derivativeOf } from "./derivative.ts";

/** What is computed: addresses of an ONNX file and of a file of tensors, and names in the model. */
export interface PageDerivative {
  readonly model: string;
  readonly tensors: string;
  readonly input: string;
  readonly feature: string;
  readonly device: "wasm" | "webgpu";
}

/** Numbers as the page hands them out: float32, base64. */
export interface PageNumbers {
  readonly features: string;
  readonly gradient: string;
}

const fetched = async (url: string) => new Uint8Array(await (await fetch(url)).arrayBuffer());

const runtimes = new Map<PageDerivative["device"], Promise<Runtime>>();

function runtimeFor(device: PageDerivative["device"]): Promise<Runtime> {
  const options = { wasmPaths: "/ort/", threads: 1 };
  const made =
    runtimes.get(device) ??
    (device === "webgpu" ? webgpuRuntime(options) : Promise.resolve(webRuntime(options)));
  runtimes.set(device, made);
  return made;
}

async function compute(task: PageDerivative): Promise<PageNumbers> {
  const runtime = await runtimeFor(task.device);
  const file = readSafetensors(task.tensors, await fetched(task.tensors));
  const graph = await readOnnx(await fetched(task.model), task.model);
  const found = await derivativeOf(
    runtime,
    graph,
    task.input,
    task.feature,
    {
      dims: file.tensors.get("input")!.shape,
      images: await file.float32("input"),
      cotangent: await file.float32("cotangent"),
    },
    { activations: "save" },
  );
  return { features: base64(found.features), gradient: base64(found.gradient) };
}

function base64({ buffer, byteOffset, byteLength }: Float32Array): string {
  let text = "";
  for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) text += String.fromCharCode(byte);
  return btoa(text);
}

Object.assign(globalThis, { computeDerivative: compute });
