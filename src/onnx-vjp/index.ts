/**
 * onnx-vjp: the gradient of any ONNX model. The vector–Jacobian product of a model is derived as an ONNX graph and run
 * by ONNX Runtime; names follow `jax.vjp` and `torch.func.vjp`.
 *
 * Models run on the thread that calls: in a program that must stay responsive, call from a worker thread, after the main
 * thread has imported this module, too.
 */
import type { Coverage } from "./coverage.ts";
import { type LoadOptions, load, type Model } from "./model.ts";
import type { Shapes } from "./shapes.ts";

export type { Activations } from "./compile/differentiable.ts";
export { type Coverage, differentiableOperators, hasRule, type RuleKind } from "./coverage.ts";
export {
  ClpError,
  DeviceError,
  ModelError,
  type NodeName,
  NoRuleError,
  NumericalError,
  ShapeError,
  UnreachedInputError,
  UsageError,
} from "./errors.ts";
export type { DataType } from "./graph/ir.ts";
export type { Device, Precision } from "./graph/runtime.ts";
export {
  type Cotangent,
  type FloatTensors,
  type InputInfo,
  type Inputs,
  type LoadOptions,
  load,
  type Model,
  type Vjp,
} from "./model.ts";
export type { Shapes } from "./shapes.ts";
export type { FloatTensor, TensorLike } from "./tensors.ts";
export type { TensorInfo, WriteVjpOptions, WrittenVjp } from "./write-vjp.ts";

/**
 * Which operators of a model have a pullback rule, and which nodes are in the way of a gradient.
 * @param model a path, the bytes of an .onnx file, or a loaded model
 * @param options those of `load`, and the shapes of inputs that the model leaves open (an open first dimension: 1)
 */
export async function coverage(
  model: string | URL | Uint8Array | Model,
  { shapes, ...options }: LoadOptions & { readonly shapes?: Shapes | undefined } = {},
): Promise<Coverage> {
  const isFile = typeof model === "string" || model instanceof URL || model instanceof Uint8Array;
  return (isFile ? await load(model, options) : model).coverage(shapes);
}
