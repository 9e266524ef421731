import type { GraphBuilder } from "../../graph/builder.ts";
import type { Constant, Node, TensorType } from "../../graph/ir.ts";

/** What a lowering may look at: the traced types are those of the graph as it was read. */
export interface LoweringContext {
  readonly node: Node;
  /** Appends the replacement's nodes, in the forms of `targetOpset`. */
  readonly b: GraphBuilder;
  /** Operator set of the graph as it was read. */
  readonly opset: number;
  type(value: string): TensorType;
  /** The constant behind a value, or undefined where it is computed. */
  constant(value: string): Constant | undefined;
}

/**
 * Rewrites one node into the forms that the pullback rules know (operator set 18, explicit pads, no composite
 * operators). Returns the values that replace the node's outputs ("" for an unused one), or undefined to keep
 * the node as it is.
 */
export type Lowering = (context: LoweringContext) => readonly string[] | undefined;

export type LoweringTable = Readonly<Record<string, Lowering>>;
