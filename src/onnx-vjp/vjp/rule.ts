import type { GraphBuilder } from "../graph/builder.ts";
import type { Constant, Node, TensorType } from "../graph/ir.ts";

/** What a rule may look at. All shapes are static; forward values can be used by name in new nodes. */
export interface RuleContext {
  readonly node: Node;
  /** Appends the pullback's nodes. */
  readonly b: GraphBuilder;
  /** Static type of any forward value or constant. */
  type(value: string): TensorType;
  /** Shape of input `i` of the node. */
  inputDims(i: number): readonly number[];
  /** Shape of output `i` of the node. */
  outputDims(i: number): readonly number[];
  /** The constant behind a value, or undefined where it is computed. */
  constant(value: string): Constant | undefined;
  /** The node that makes a value, of the forward or of the pullback so far; undefined for inputs and constants. */
  producer(value: string): Node | undefined;
  /** Whether input `i` is on the differentiated path: gradients of the others must be null. */
  needs(i: number): boolean;
}

/**
 * The vector–Jacobian product of one op: the cotangents of its outputs (undefined where no gradient flows
 * into that output) to the cotangent of each input, null where none is needed or exists. Returns exactly as
 * many entries as the node has inputs.
 */
export type Rule = (context: RuleContext, cotangents: readonly (string | undefined)[]) => (string | null)[];

/** Rules by op name (standard domain), one table per family, merged in `rules.ts`. */
export type RuleTable = Readonly<Record<string, Rule>>;

/**
 * Sums a cotangent of shape `from` down to shape `to`: the adjoint of ONNX's (NumPy's) broadcasting.
 */
export function sumTo(
  b: GraphBuilder,
  cotangent: string,
  from: readonly number[],
  to: readonly number[],
): string {
  const lead = from.length - to.length;
  const axes: number[] = [];
  for (let i = 0; i < from.length; i++) {
    if (i < lead || (to[i - lead] === 1 && from[i] !== 1)) axes.push(i);
  }
  const summed = axes.length === 0 ? cotangent : b.reduceSum(cotangent, axes, true);
  return lead === 0 ? summed : b.reshape(summed, to);
}
