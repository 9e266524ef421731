import { constantOf } from "../graph/constant.ts";
import {
  type Constant,
  int,
  type Node,
  sizeOf,
  standardNode,
  type TensorType,
  type TracedGraph,
} from "../graph/ir.ts";
import { capturedNames } from "../graph/live.ts";
import { type Narrowed, narrowed } from "./narrow-rules.ts";
import {
  dimsOf,
  isWhole,
  keyOf,
  type Part,
  progressionOf,
  takeConstant,
  union,
  wholeOf,
  within,
} from "./part.ts";
import { simplify } from "./simplify.ts";
import { splitSlices } from "./split-slices.ts";

/**
 * Computes only what the outputs need: a part that is taken of a value (its class token, a few channels) is taken
 * of what the value is computed from, as far up as that is possible. In a Vision Transformer whose feature is the
 * class token, the last block's queries, products and MLP then run for that token alone, and a product of
 * queries, keys and values becomes one of queries and one of keys and values. A value that somebody needs whole
 * is computed whole, and the part is taken of it. The pullback is derived from the narrowed graph.
 */
export function narrow(graph: TracedGraph): TracedGraph {
  const plans = plansOf(graph);
  if (plans === undefined) return graph;
  const writer = new Writer(graph, plans);
  for (const node of graph.nodes) writer.write(node);
  const { nodes, constants, types } = writer;
  return simplify(splitSlices(simplify({ ...graph, nodes, constants, types })));
}

/** The parts of a value that are computed, each on its own: in most cases the whole alone. */
type Plans = ReadonlyMap<string, readonly Part[]>;

/** Computing two parts as one may cost so much more than computing each: fewer, larger products are faster. */
const joinWithin = 1.1;
/** Parts of more than this share of a value are not worth another shape of graph. */
const worthwhile = 0.75;

/** What is to be computed of each value, from the outputs upwards; undefined where that is everything. */
function plansOf(graph: TracedGraph): Plans | undefined {
  const asked = new Map<string, Part[]>();
  const plans = new Map<string, readonly Part[]>();
  const rankOf = (value: string) => graph.types.get(value)?.dims.length ?? 0;
  const ask = (value: string, part: Part): void => {
    const known = asked.get(value);
    if (known) known.push(part);
    else asked.set(value, [part]);
  };
  for (const { name } of graph.outputs) ask(name, wholeOf(rankOf(name)));
  for (const node of [...graph.nodes].reverse()) {
    const outputs = node.outputs.filter((output) => asked.has(output));
    for (const output of outputs) {
      const k = node.outputs.indexOf(output);
      const { dims } = graph.types.get(output)!;
      // A node that mixes an axis computes all of it.
      const computed = (part: Part) => narrowed(graph, node, k, part)?.part ?? wholeOf(dims.length);
      let plan = joined(asked.get(output)!.map(computed), dims);
      while (plan.some((part) => keyOf(computed(part)) !== keyOf(part)))
        plan = joined(plan.map(computed), dims);
      plans.set(output, plan);
      for (const part of plan) {
        const needs = narrowed(graph, node, k, part)?.needs;
        for (const [i, input] of node.inputs.entries()) {
          const need = needs === undefined ? wholeOf(rankOf(input)) : needs[i];
          if (input !== "" && need) ask(input, need);
        }
      }
    }
    if (outputs.length > 0)
      for (const name of capturedNames(node.attributes)) ask(name, wholeOf(rankOf(name)));
  }
  return [...plans.values()].some((plan) => plan.some((part) => !isWhole(part))) ? plans : undefined;
}

/** Parts that hold all of those given, joined where that costs little. */
function joined(parts: readonly Part[], dims: readonly number[]): Part[] {
  const whole = wholeOf(dims.length);
  if (parts.some(isWhole)) return [whole];
  const size = (part: Part) => sizeOf(dimsOf(part, dims));
  const open = [...parts];
  const done: Part[] = [];
  while (open.length > 0) {
    const part = open.pop()!;
    const partner = [...open, ...done].find((other) => {
      return size(union(part, other, dims)) <= joinWithin * (size(part) + size(other));
    });
    if (partner === undefined) {
      done.push(part);
      continue;
    }
    for (const list of [open, done]) if (list.includes(partner)) list.splice(list.indexOf(partner), 1);
    open.push(union(part, partner, dims));
  }
  const total = done.reduce((sum, part) => sum + size(part), 0);
  return total > worthwhile * sizeOf(dims) ? [whole] : done;
}

/** Writes nodes for the parts that are planned. */
class Writer {
  readonly nodes: Node[] = [];
  readonly constants: Map<string, Constant>;
  readonly types: Map<string, TensorType>;
  private readonly graph: TracedGraph;
  private readonly plans: Plans;
  /** Names of parts by what they are of. */
  private readonly names = new Map<string, string>();
  private readonly taken = new Map<string, string>();

  constructor(graph: TracedGraph, plans: Plans) {
    this.graph = graph;
    this.plans = plans;
    this.constants = new Map(graph.constants);
    this.types = new Map(graph.types);
  }

  write(node: Node): void {
    const outputs = node.outputs.filter((output) => this.plans.has(output));
    const whole = (value: string) => this.plans.get(value)?.some(isWhole) ?? true;
    if (outputs.every(whole) && node.inputs.every(whole)) {
      if (outputs.length > 0) this.nodes.push(node);
      return;
    }
    for (const output of outputs) {
      const k = node.outputs.indexOf(output);
      for (const part of this.plans.get(output)!) {
        const form = narrowed(this.graph, node, k, part);
        if (form === undefined) throw new Error(`no part of ${output} can be computed alone`);
        this.writePart(node, output, form);
      }
    }
  }

  private writePart(node: Node, output: string, { part, needs, becomes }: Narrowed): void {
    const { dtype, dims } = this.graph.types.get(output)!;
    const name = this.nameOf(output, part);
    const shape = dimsOf(part, dims);
    this.types.set(name, { dtype, dims: shape });
    const inputs = node.inputs.flatMap((input, i) => {
      const need = needs[i];
      return need ? [input === "" ? "" : this.take(input, need)] : [];
    });
    if (becomes === "itself") this.nodes.push({ ...node, name, inputs, outputs: [name] });
    else if (becomes === "Identity") this.push("Identity", inputs, name);
    else this.push(becomes, [...inputs, this.ints(`${name}/shape`, shape)], name);
  }

  /** A part of a value from the planned part that holds it. */
  private take(value: string, part: Part): string {
    const constant = this.graph.constants.get(value);
    if (constant !== undefined) {
      return isWhole(part) ? value : this.note(this.nameOf(value, part), () => takeConstant(constant, part));
    }
    const { dims } = this.graph.types.get(value)!;
    for (const holder of this.plans.get(value) ?? [wholeOf(dims.length)]) {
      const places = within(part, holder);
      if (places !== undefined) return this.slice(this.nameOf(value, holder), places, dimsOf(holder, dims));
    }
    throw new Error(`a part of ${value} was not planned`);
  }

  private slice(value: string, part: Part, from: readonly number[]): string {
    let result = value;
    let dims = from;
    for (const [axis, indices] of part.entries()) {
      if (indices === undefined) continue;
      const key = `${result}/${axis}:${indices}`;
      dims = dims.map((d, i) => (i === axis ? indices.length : d));
      const known = this.taken.get(key);
      if (known !== undefined) {
        result = known;
        continue;
      }
      const name = `${result}/taken${this.taken.size}`;
      this.types.set(name, { dtype: this.types.get(value)!.dtype, dims });
      const even = progressionOf(indices);
      if (even === undefined) {
        this.push("Gather", [result, this.ints(`${name}/indices`, indices)], name, { axis: int(axis) });
      } else {
        const bounds = [even.start, indices.at(-1)! + 1, axis, even.step];
        const inputs = bounds.map((bound, i) => this.ints(`${name}/${i}`, [bound]));
        this.push("Slice", [result, ...inputs], name);
      }
      this.taken.set(key, name);
      result = name;
    }
    return result;
  }

  private push(op: string, inputs: readonly string[], output: string, attributes: Node["attributes"] = {}) {
    this.nodes.push(standardNode(op, inputs, output, attributes));
  }

  private ints(name: string, values: readonly number[]): string {
    return this.note(name, () => constantOf("int64", [values.length], values));
  }

  private note(name: string, make: () => Constant): string {
    if (!this.constants.has(name)) {
      const constant = make();
      this.constants.set(name, constant);
      this.types.set(name, constant);
    }
    return name;
  }

  /** Whole values keep their names. */
  private nameOf(value: string, part: Part): string {
    if (isWhole(part)) return value;
    const key = `${value}/part/${keyOf(part)}`;
    const known = this.names.get(key);
    if (known !== undefined) return known;
    const name = `${value}/part${this.names.size}`;
    this.names.set(key, name);
    return name;
  }
}
