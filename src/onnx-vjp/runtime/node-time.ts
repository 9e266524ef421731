/** What one node of a session's graph, as ONNX Runtime optimised it, took. */
export interface NodeTime {
  readonly op: string;
  readonly node: string;
  /** Shape of the first output. */
  readonly dims: readonly number[];
  /** Milliseconds in one step, mean over the measured ones. */
  readonly ms: number;
  /** How often it ran in a step. */
  readonly runs: number;
  /** Whether it ran on the processor: on a card, what its provider has no program for does. */
  readonly onProcessor: boolean;
}
