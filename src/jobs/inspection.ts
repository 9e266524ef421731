/** What `clp-dd inspect` reports about a model. */
export interface Inspection {
  readonly id: string;
  readonly sha256: string;
  readonly opset: number;
  readonly parameters: number;
  readonly inputs: readonly { name: string; dtype: string; dims: readonly (number | string)[] }[];
  /** Tensors that can serve as features, latest first; the chosen one is marked. */
  readonly candidates: readonly {
    name: string;
    dims: readonly number[];
    chosen: boolean;
    /** Operators on its path that cannot be differentiated, or why it cannot be a feature. */
    missing: readonly string[];
  }[];
  /** Operators after lowering: how often each occurs, and whether it has a pullback rule. */
  readonly ops: readonly { op: string; count: number; rule: boolean }[];
  readonly reason: string;
}
