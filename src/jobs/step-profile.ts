import type { Activations } from "../onnx-vjp/compile/activations.ts";
import type { NodeTime } from "../onnx-vjp/runtime/node-time.ts";

/** A node's time, and in which of the two sessions it ran. */
export interface PassNodeTime extends NodeTime {
  readonly pass: "forward" | "pullback";
}

/** Where the time of a distillation step goes. Times are milliseconds per step, shares fractions. */
export interface StepProfile {
  readonly encoder: string;
  readonly size: number;
  readonly images: number;
  readonly classes: number;
  readonly batch: number;
  readonly activations: Activations;
  readonly device: string;
  readonly threads: number;
  readonly steps: number;
  readonly stepMs: number;
  /** The parts of a step, in the order in which they run; shares of the step. */
  readonly stages: readonly { readonly name: string; readonly ms: number; readonly share: number }[];
  /** What choosing target features now and then adds to a step on average; not part of `stepMs`. */
  readonly targetsMs: number;
  /** Encoder's forward and pullback together, as seen from outside: what the shares below refer to. */
  readonly encoderMs: number;
  /** The part of it that is not an operator: copies, calls. */
  readonly outsideMs: number;
  /** By operator, most expensive first. */
  readonly ops: readonly { op: string; forward: number; pullback: number; ms: number; share: number }[];
  /** By node, most expensive first. */
  readonly nodes: readonly (PassNodeTime & { share: number })[];
}
