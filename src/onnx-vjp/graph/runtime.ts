import type { Tensor } from "onnxruntime-common";
import type { Device } from "./device.ts";
import type { Graph, ValueInfo } from "./ir.ts";

export type { Device, Precision } from "./device.ts";

export type Feeds = Readonly<Record<string, Tensor>>;
export type Fetches = Readonly<Record<string, Tensor>>;

/** What ONNX Runtime infers of an output. */
export type OutputType = Omit<ValueInfo, "name">;

/** A graph made ready to run. Sessions hold native memory: make one per graph, reuse it, release it. */
export interface Session {
  readonly graph: {
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    /** What ONNX Runtime infers of the outputs without running; a dimension that it cannot infer has a name. */
    readonly outputTypes: ReadonlyMap<string, OutputType>;
  };
  /**
   * Runs the graph. `into` gives tensors that the outputs of the same name are written to (no allocation,
   * no copy); outputs named in `only` (default: all) and not in `into` are allocated.
   */
  run(feeds: Feeds, options?: { only?: readonly string[]; into?: Fetches }): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

export interface SessionOptions {
  /** `off` runs every node as written, so that every value can be fetched (tracing). Default `on`. */
  readonly optimize?: "on" | "off";
  /** Values to fetch beside the graph's outputs (types unknown: tracing). */
  readonly extraOutputs?: readonly string[];
  /** Prefix of the profile that ONNX Runtime writes (Node only). */
  readonly profile?: string;
  /** Outputs that are fed to other sessions alone: they stay on the device, where `handsOver` says that they can. */
  readonly stay?: readonly string[];
}

/** ONNX Runtime behind one interface, which `runtime/node.ts` implements. */
export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  /** Bytes that the values of a run may take while a model is prepared; absent: no limit. */
  readonly memoryBytes?: number;
  /** Whether values that one session hands to another stay where they are, instead of going through the host's memory. */
  readonly handsOver: boolean;
  /** Whether operators cost more than what they move: products of stacks of rows are then one each (graph/flat-products.ts). */
  readonly prefersFewNodes: boolean;
  /** Channels in a block of the layout that convolutions are fastest in (graph/blocked); absent where there is none. */
  convolutionBlock?(): Promise<number>;
  /** Compiles a graph. Throws ModelError when ONNX Runtime refuses it. */
  session(graph: Graph, options?: SessionOptions): Promise<Session>;
}
