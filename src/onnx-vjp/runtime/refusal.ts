import { DeviceError, ModelError, messageOf, NoRuleError } from "../errors.ts";
import { describeNode, type Graph, nameOfNode } from "../graph/ir.ts";
import type { Device } from "../graph/runtime.ts";

/** How ONNX Runtime says that it does not know an operator, of the standard domain or another. */
const unknownOperator = [/No Op registered for (?<op>\w+)/, /[\w.]*:(?<op>\w+)\(-?\d+\) is not a registered/];

/** The error for a graph that ONNX Runtime refused: an operator that it does not know is named with its nodes. */
export function refusal(graph: Graph, error: unknown): ModelError {
  const message = messageOf(error);
  const op = unknownOperator.map((pattern) => pattern.exec(message)?.groups?.op).find((o) => o !== undefined);
  const nodes = op === undefined ? [] : graph.nodes.filter((node) => node.op === op);
  if (nodes.length === 0)
    return new ModelError(`ONNX Runtime refused the graph: ${message}`, { cause: error });
  return new NoRuleError(
    `The model has an operator that ONNX Runtime does not know: ${nodes.slice(0, 20).map(describeNode).join(", ")} ` +
      `(${message}). Export the model with standard operators.`,
    { cause: error, nodes: nodes.map(nameOfNode) },
  );
}

/** ONNX Runtime's call that takes a device, which fails before it looks at a graph. */
const deviceCall = /^OrtSessionOptionsAppend\w*:\s*/;

/** Whether the error is the device's, by its text. */
export const isOfDevice = (error: unknown): boolean => deviceCall.test(messageOf(error));

/** What a device needs beside ONNX Runtime's own package. */
const needs: Readonly<Record<Exclude<Device, "cpu">, string>> = {
  cuda:
    "an NVIDIA GPU with its driver, CUDA with cuDNN, and ONNX Runtime's provider for it beside the library of " +
    "onnxruntime-node (docs/gpu.md)",
  webgpu: "a GPU with a driver for Vulkan, Direct3D 12 or Metal",
};

/** The error for a device on which no graph runs. */
export function unusableDevice(device: Exclude<Device, "cpu">, error: unknown): DeviceError {
  const reason = messageOf(error)
    // Which call, or which line of its source, said so.
    .replace(deviceCall, "")
    .replace(/^\/onnxruntime_src\/.* was false\.\s*/s, "")
    .trim()
    .replace(/\.$/, "");
  return new DeviceError(`The device ${device} cannot be used here: ${reason}. It needs ${needs[device]}.`, {
    cause: error,
    device,
  });
}
