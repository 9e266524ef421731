import { constantOf } from "../graph/constant.ts";
import { type Attribute, type Constant, int, ints, type Node, standardNode } from "../graph/ir.ts";

/**
 * Writes nodes into a graph that is still of the operator set that it was read with: forms that changed are written
 * as that set has them.
 */
export class FormWriter {
  readonly nodes: Node[] = [];
  readonly constants = new Map<string, Constant>();
  private readonly opset: number;
  private readonly prefix: string;
  private count = 0;

  /** @param prefix begins the names of all values that are made */
  constructor(opset: number, prefix: string) {
    this.opset = opset;
    this.prefix = prefix;
  }

  op(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    outputs = 1,
  ): string[] {
    const name = `${this.prefix}/${op}${this.count++}`;
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}:${i}`));
    this.nodes.push(standardNode(op, inputs, names, attributes, name));
    return names;
  }

  constant(constant: Constant): string {
    const name = `${this.prefix}/constant${this.count++}`;
    this.constants.set(name, constant);
    return name;
  }

  integers(values: readonly number[]): string {
    return this.constant(constantOf("int64", [values.length], values));
  }

  /** `x` with axes of 1 put in, or taken out. */
  withAxes(op: "Squeeze" | "Unsqueeze", x: string, axes: readonly number[]): string {
    return this.opset < 13
      ? this.op(op, [x], { axes: ints(axes) })[0]
      : this.op(op, [x, this.integers(axes)])[0];
  }

  /** Parts of `x` along an axis, of the given sizes. */
  split(x: string, axis: number, sizes: readonly number[]): string[] {
    return this.opset < 13
      ? this.op("Split", [x], { axis: int(axis), split: ints(sizes) }, sizes.length)
      : this.op("Split", [x, this.integers(sizes)], { axis: int(axis) }, sizes.length);
  }

  /** Values side by side along an axis that they have, or, with `stacked`, along a new one. */
  join(values: readonly string[], axis: number, stacked: boolean): string {
    const parts = stacked ? values.map((value) => this.withAxes("Unsqueeze", value, [axis])) : values;
    return this.op("Concat", parts, { axis: int(axis) })[0];
  }
}
