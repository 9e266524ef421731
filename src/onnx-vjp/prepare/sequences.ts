import { constantOf, numbersOf } from "../graph/constant.ts";
import {
  type Constant,
  fromFront,
  type Graph,
  identity,
  intAttribute,
  type Node,
  type TracedGraph,
} from "../graph/ir.ts";
import { FormWriter } from "./forms.ts";
import { inlineBody } from "./inline-body.ts";

/**
 * Replaces sequences of tensors by their tensors: what is put into one and taken out again needs no sequence. Also
 * optional values. Returns the graph itself where nothing can be replaced; a sequence whose length or places the image
 * decides stays.
 *
 * @param prefix begins the names of new values
 */
export function withoutSequences(graph: TracedGraph, prefix: string): Graph {
  const pass = new SequencePass(graph, prefix);
  for (const node of graph.nodes) pass.visit(node);
  return pass.changed
    ? { ...graph, nodes: pass.nodes, constants: new Map([...graph.constants, ...pass.constants]) }
    : graph;
}

class SequencePass {
  readonly nodes: Node[] = [];
  readonly constants = new Map<string, Constant>();
  changed = false;
  private readonly graph: TracedGraph;
  private readonly prefix: string;
  /** The tensor that an optional value holds, by its name. */
  private readonly optionals = new Map<string, string>();
  /** The tensors in a sequence, by its name. */
  private readonly elements = new Map<string, readonly string[]>();

  constructor(graph: TracedGraph, prefix: string) {
    this.graph = graph;
    this.prefix = prefix;
  }

  visit(node: Node): void {
    const made = node.domain === "" ? this.sequenceOf(node) : undefined;
    if (made !== undefined) {
      // The node stays for whoever cannot do without; it goes where nobody reads it any more.
      this.elements.set(node.outputs[0], made);
      this.nodes.push(node);
      return;
    }
    const value = node.domain === "" ? this.taken(node) : undefined;
    if (value === undefined) {
      this.nodes.push(node);
      return;
    }
    this.changed = true;
    this.nodes.push(identity(value, node.outputs[0]));
  }

  /** The tensors of the sequence that `node` makes, where they are known. */
  private sequenceOf(node: Node): readonly string[] | undefined {
    const before = this.elements.get(node.inputs[0] ?? "");
    switch (node.op) {
      case "SequenceEmpty":
        return [];
      case "SequenceConstruct":
        return node.inputs;
      case "SplitToSequence":
        return this.split(node);
      case "Identity":
      case "Optional":
      case "OptionalGetElement":
        return before;
      case "SequenceInsert": {
        const place = before && this.place(node.inputs[2], before.length, before.length);
        return place === undefined ? undefined : before!.toSpliced(place, 0, node.inputs[1]);
      }
      case "SequenceErase": {
        const place = before && this.place(node.inputs[1], before.length, before.length - 1);
        return place === undefined ? undefined : before!.toSpliced(place, 1);
      }
      case "SequenceMap":
        return before && this.map(node, before);
      default:
        return undefined;
    }
  }

  /** The tensor that `node` gives of a sequence, where that is known. */
  private taken(node: Node): string | undefined {
    const elements = this.elements.get(node.inputs[0] ?? "");
    const [input = ""] = node.inputs;
    const tensor = this.optionals.get(input) ?? (this.graph.types.has(input) ? input : undefined);
    if (node.op === "OptionalHasElement") {
      const has = tensor !== undefined || elements !== undefined;
      return has ? this.constant(constantOf("bool", [], [1]), node) : undefined;
    }
    if (node.op === "OptionalGetElement") return tensor;
    if (node.op === "Optional") {
      if (tensor !== undefined) this.optionals.set(node.outputs[0], tensor);
      return undefined;
    }
    if (elements === undefined) return undefined;
    switch (node.op) {
      case "SequenceAt": {
        const place = this.place(node.inputs[1], elements.length);
        return place === undefined ? undefined : elements[place];
      }
      case "SequenceLength":
        return this.constant(constantOf("int64", [], [elements.length]), node);
      case "ConcatFromSequence": {
        const w = this.writer(node);
        const stacked = intAttribute(node, "new_axis", 0) === 1;
        const rank = this.graph.types.get(node.outputs[0])?.dims.length;
        if (rank === undefined || elements.length === 0) return undefined;
        return this.written(w, w.join(elements, fromFront(intAttribute(node, "axis", 0), rank), stacked));
      }
      default:
        return undefined;
    }
  }

  private split(node: Node): readonly string[] | undefined {
    const [x, sizesInput = ""] = node.inputs as readonly [string, string?];
    const dims = this.graph.types.get(x)?.dims;
    const given = this.graph.constants.get(sizesInput);
    if (dims === undefined || (sizesInput !== "" && given === undefined)) return undefined;
    const axis = fromFront(intAttribute(node, "axis", 0), dims.length);
    const whole = dims[axis];
    const numbers = given ? Array.from(numbersOf(given)) : [1];
    const each = numbers[0];
    const sizes =
      given !== undefined && given.dims.length > 0
        ? numbers
        : Array.from({ length: Math.ceil(whole / each) }, (_, i) => Math.min(each, whole - i * each));
    const w = this.writer(node);
    const parts = sizes.length === 1 ? [x] : w.split(x, axis, sizes);
    // Only where no sizes are given may the axis go.
    const drops = sizesInput === "" && intAttribute(node, "keepdims", 1) === 0;
    const tensors = drops ? parts.map((part) => w.withAxes("Squeeze", part, [axis])) : parts;
    this.written(w, "");
    return tensors;
  }

  /** SequenceMap: its body on each tensor of the first sequence, with those of further ones beside it. */
  private map(node: Node, first: readonly string[]): readonly string[] | undefined {
    const body = node.attributes.body;
    if (body?.kind !== "graph" || node.outputs.length > 1) return undefined;
    const others = node.inputs.slice(1).map((input) => this.elements.get(input) ?? input);
    return first.map((element, k) => {
      const inputs = [element, ...others.map((other) => (typeof other === "string" ? other : other[k]))];
      const inlined = inlineBody(body.value, `${this.prefix}${node.outputs[0]}/${k}`, inputs);
      this.nodes.push(...inlined.nodes);
      for (const [name, constant] of inlined.constants) this.constants.set(name, constant);
      this.changed = true;
      return inlined.outputs[0];
    });
  }

  /** A constant place in a sequence of `length` tensors; `otherwise` where none is given. */
  private place(value = "", length: number, otherwise?: number): number | undefined {
    if (value === "") return otherwise;
    const constant = this.graph.constants.get(value);
    return constant && fromFront(numbersOf(constant)[0], length);
  }

  private constant(constant: Constant, node: Node): string {
    const w = this.writer(node);
    return this.written(w, w.constant(constant));
  }

  private writer = (node: Node): FormWriter =>
    new FormWriter(this.graph.opset, `${this.prefix}${node.outputs[0]}`);

  private written(w: FormWriter, value: string): string {
    this.nodes.push(...w.nodes);
    for (const [name, constant] of w.constants) this.constants.set(name, constant);
    return value;
  }
}
