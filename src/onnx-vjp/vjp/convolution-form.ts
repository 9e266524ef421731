import type { GraphBuilder } from "../graph/builder.ts";
import type { Constant } from "../graph/ir.ts";
import type { Window } from "../graph/window.ts";

/** A convolution whose input's cotangent is asked for: y [n, M, …out] of x [n, C, …space]. */
export interface Convolution {
  /** [M, C/group, …kernel] */
  readonly weight: { readonly name: string; readonly constant: Constant };
  readonly window: Window;
  readonly group: number;
  readonly inDims: readonly number[];
  readonly outDims: readonly number[];
}

/** The first `sizes` positions of each spatial axis. */
export function leading(b: GraphBuilder, x: string, sizes: readonly number[]): string {
  const axes = sizes.map((_, i) => i + 2);
  return b.op("Slice", [x, b.ints(sizes.map(() => 0)), b.ints(sizes), b.ints(axes)]);
}
