import { constantOf } from "../../graph/constant.ts";
import { protoOfDataType } from "../../graph/data-type.ts";
import {
  type Attributes,
  type Constant,
  type Graph,
  int,
  type Node,
  type TensorType,
} from "../../graph/ir.ts";
import { blockedDomain, wholeBlocks } from "./layout.ts";

/** Name of a value in the blocked layout. */
export const nameOf = (value: string): string => `${value}/blocked`;

/**
 * The values of a graph that is being rewritten: which there are plain, which blocked, and the nodes that lay one out as
 * the other where it is asked for so.
 */
export class Values {
  protected readonly graph: Graph;
  /** Channels in a block. */
  protected readonly block: number;
  protected readonly nodes: Node[] = [];
  protected readonly constants: Map<string, Constant>;
  protected readonly inputs: Graph["inputs"];
  /** Types as they would be unblocked. */
  protected readonly types: Map<string, TensorType>;
  protected readonly plain = new Set<string>();
  protected readonly blocked = new Set<string>();
  /** Images that come of a value with the channels last, by that value: they are blocked from there. */
  protected readonly channelsLast = new Map<string, string>();

  constructor(graph: Graph, types: ReadonlyMap<string, TensorType>, block: number) {
    this.graph = graph;
    this.block = block;
    this.constants = new Map(graph.constants);
    this.inputs = [...graph.inputs];
    this.types = new Map(types);
    for (const input of graph.inputs) this.plain.add(input.name);
    for (const [name, constant] of graph.constants) {
      this.plain.add(name);
      this.types.set(name, constant);
    }
  }

  /** Called before a value is used, which may not have been written yet. */
  protected beforeUse(_value: string): void {}

  /** Declares that input `value` comes blocked. */
  takeIn(value: string, type: TensorType): void {
    const at = this.inputs.findIndex((input) => input.name === value);
    if (at < 0) return;
    this.inputs[at] = { name: nameOf(value), ...type };
    this.plain.delete(value);
    this.blocked.add(value);
  }

  /** Writes a node whose output is `value`, blocked. */
  protected make(op: string, inputs: readonly string[], value: string, attributes: Attributes, domain = "") {
    const output = nameOf(value);
    this.nodes.push({ op, domain, name: output, inputs, outputs: [output], attributes });
    this.blocked.add(value);
  }

  /** The type of `value` blocked. */
  protected blockedType(value: string): TensorType {
    const { dtype, dims } = this.types.get(value)!;
    return { dtype, dims: [dims[0], wholeBlocks(dims[1], this.block), ...dims.slice(2)] };
  }

  /** Shape of an image that could be blocked, or undefined. */
  protected imageDims(value: string): readonly number[] | undefined {
    const dims = this.types.get(value)?.dims;
    return dims?.length === 4 && !this.constants.has(value) ? dims : undefined;
  }

  /** Whether `value` is blocked or can be laid out so: ONNX Runtime takes channels in fours. */
  protected canBlock(value: string): boolean {
    return this.blocked.has(value) || (this.imageDims(value)?.[1] ?? 1) % 4 === 0;
  }

  /** The blocked form of an image, made from the plain one where there is none yet. */
  protected blockedOf(value: string): string {
    if (this.blocked.has(value)) return nameOf(value);
    this.beforeUse(value);
    if (this.blocked.has(value)) return nameOf(value);
    const { dtype } = this.types.get(value)!;
    const last = this.channelsLast.get(value);
    if (dtype === "float32") {
      const attributes = { channels_last: int(last === undefined ? 0 : 1) };
      this.make("ReorderInput", [last ?? value], value, attributes, blockedDomain);
    } else {
      const float = this.cast(value, `${value}/float`, "float32");
      this.node("ReorderInput", [float], `${value}/float/blocked`, { channels_last: int(0) }, blockedDomain);
      this.make("Cast", [`${value}/float/blocked`], value, { to: int(protoOfDataType(dtype)) });
    }
    return nameOf(value);
  }

  /** The plain form of a value, made from the blocked one where there is none yet. */
  protected plainOf(value: string): string {
    this.beforeUse(value);
    if (this.plain.has(value) || !this.blocked.has(value)) return value;
    const { dtype, dims } = this.types.get(value)!;
    const attributes = { channels: int(dims[1]), channels_last: int(0) };
    if (dtype === "float32") this.node("ReorderOutput", [nameOf(value)], value, attributes, blockedDomain);
    else {
      const float = this.cast(nameOf(value), `${nameOf(value)}/float`, "float32");
      this.node("ReorderOutput", [float], `${value}/float`, attributes, blockedDomain);
      this.cast(`${value}/float`, value, dtype);
    }
    this.plain.add(value);
    return value;
  }

  private cast(from: string, to: string, dtype: TensorType["dtype"]): string {
    return this.node("Cast", [from], to, { to: int(protoOfDataType(dtype)) });
  }

  protected node(op: string, inputs: readonly string[], output: string, attributes: Attributes, domain = "") {
    this.nodes.push({ op, domain, name: output, inputs, outputs: [output], attributes });
    return output;
  }

  /** An int64 constant. */
  protected ints(values: readonly number[]): string {
    const name = `blocked/ints/${values.join(",")}`;
    if (!this.constants.has(name)) this.constants.set(name, constantOf("int64", [values.length], values));
    return name;
  }
}
