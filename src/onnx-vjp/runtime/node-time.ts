/** What one node of a session's graph, as ONNX Runtime optimized it, took. */
export interface NodeTime {
  readonly op: string;
  readonly node: string;
  /** Shape of the first output. */
  readonly dims: readonly number[];
  /** Milliseconds in one step, mean over the measured ones. */
  readonly ms: number;
  /** How often it ran in a step. */
  readonly runs: number;
  /** Whether it ran on the CPU: on a GPU, operators without a kernel of the provider do. */
  readonly onProcessor: boolean;
}
