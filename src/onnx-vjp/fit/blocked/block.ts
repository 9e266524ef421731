import { broadcast, elementwiseType } from "../../graph/elementwise-type.ts";
import {
  type Constant,
  type Graph,
  int,
  intAttribute,
  intsAttribute,
  type Node,
  sizeOf,
  type TensorType,
  text,
} from "../../graph/ir.ts";
import { linksOf } from "../../graph/links.ts";
import { withoutDeadNodes } from "../../graph/live.ts";
import { windowAttributes, windowOf } from "../../graph/window.ts";
import { type Activation, activationOf, interleavings } from "./fuse.ts";
import {
  blockedBias,
  blockedConvolution,
  blockedDomain,
  blockedWeight,
  isElementwise,
  wholeBlocks,
} from "./layout.ts";
import { imageShape } from "./shape.ts";
import { nameOf, Values } from "./values.ts";

/** A graph whose convolutions run blocked, and the values that enter or leave it so. */
export interface Blocked {
  readonly graph: Graph;
  /** Of the values that were asked for blocked: those that are, with their name and type in the graph. */
  readonly handed: ReadonlyMap<string, { readonly name: string; readonly type: TensorType }>;
}

/**
 * Rewrites a graph so that its convolutions and the operators between them work in ONNX Runtime's blocked layout.
 * ONNX Runtime does this itself only while nothing but convolutions, sums and activations read a value; the masks
 * and products of a pullback made it lay every value out anew, before and after each convolution.
 *
 * @param types of the values whose shape is known: inputs and, as far as they are, the values of nodes
 * @param block channels in a block
 * @param handOver outputs that another blocked graph will take in, blocked where they are here
 * @param handed inputs that come blocked, as another call's `handed` says
 */
export function blockGraph(
  graph: Graph,
  types: ReadonlyMap<string, TensorType>,
  block: number,
  handOver: ReadonlySet<string> = new Set(),
  handed: Blocked["handed"] = new Map(),
): Blocked {
  const without = handed.size === 0 && !graph.nodes.some((node) => node.op === "Conv");
  if (block === 1 || without) return { graph, handed: new Map() };
  const pass = new BlockingPass(graph, types, block);
  for (const [value, { type }] of handed) pass.takeIn(value, type);
  for (const node of graph.nodes) pass.rewrite(node);
  return pass.finish(handOver);
}

class BlockingPass extends Values {
  /** Convolutions that wait for the sum that they will be computed into. */
  private readonly waiting = new Map<string, Node>();
  /** Values that are written by the convolution before them. */
  private readonly written = new Set<string>();
  private readonly links = linksOf(this.graph);
  private readonly interleavings = interleavings(this.graph, this.links);
  private readonly skipped = new Set([...this.interleavings.values()].flatMap(({ inner }) => inner));

  rewrite(node: Node): void {
    if (this.skipped.has(node) || node.outputs.some((output) => this.written.has(output))) return;
    const blocked =
      this.convolution(node) ||
      this.sum(node) ||
      this.elementwise(node) ||
      this.interleave(node) ||
      this.pool(node) ||
      this.channelsToTheEnd(node);
    if (blocked) return;
    for (const input of node.inputs) if (input !== "") this.plainOf(input);
    this.nodes.push(node);
    for (const output of node.outputs) this.plain.add(output);
    if (isTransposition(node, [0, 3, 1, 2])) this.channelsLast.set(node.outputs[0], node.inputs[0]);
    const dims = imageShape(node, this.constants, this.types);
    const { dtype = "float32" } = this.types.get(node.inputs[0] ?? "") ?? {};
    if (dims && !this.types.has(node.outputs[0])) this.types.set(node.outputs[0], { dtype, dims });
  }

  finish(handOver: ReadonlySet<string>): Blocked {
    const handed = new Map<string, { name: string; type: TensorType }>();
    const outputs = this.graph.outputs.map((output) => {
      if (!handOver.has(output.name) || !this.blocked.has(output.name)) {
        this.plainOf(output.name);
        return output;
      }
      const type = this.blockedType(output.name);
      handed.set(output.name, { name: nameOf(output.name), type });
      return { name: nameOf(output.name), ...type };
    });
    const graph = {
      ...this.graph,
      inputs: this.inputs,
      nodes: this.nodes,
      constants: this.constants,
      outputs,
    };
    return { graph: withoutDeadNodes(graph), handed };
  }

  private constantInput(node: Node, at: number): Constant | undefined {
    return this.constants.get(node.inputs[at] ?? "");
  }

  /** Convolutions; one that only a sum reads waits for it. */
  private convolution(node: Node): boolean {
    if (node.op !== "Conv" || node.domain !== "") return false;
    const weight = this.constantInput(node, 1);
    const dims = this.imageDims(node.inputs[0]);
    const bias = node.inputs[2] ? this.constantInput(node, 2) : undefined;
    if (!weight || !dims || (node.inputs[2] && !bias)) return false;
    const group = intAttribute(node, "group", 1);
    const shape = blockedConvolution(weight.dims, group, this.block);
    if (shape === undefined || (shape.inputBlocked && !this.canBlock(node.inputs[0]))) return false;
    this.types.set(node.outputs[0], {
      dtype: "float32",
      dims: imageShape(node, this.constants, this.types)!,
    });
    if (this.isSummed(node)) this.waiting.set(node.outputs[0], node);
    else this.convolve(node);
    return true;
  }

  /** Whether nothing but the addition of another such image reads `node`'s output. */
  private isSummed(node: Node): boolean {
    const output = node.outputs[0];
    const reader = this.links.onlyReader(output);
    if (reader?.op !== "Add" || reader.domain !== "") return false;
    const other = reader.inputs.find((input) => input !== output);
    if (other === undefined || !this.canBlock(other)) return false;
    return String(this.types.get(other)?.dims) === String(this.types.get(output)?.dims);
  }

  /** Writes a convolution, with the sum that it goes into and the activation behind it. */
  private convolve(node: Node, addition?: { sum: string; output: string }): void {
    const weight = this.constantInput(node, 1)!;
    const shape = blockedConvolution(weight.dims, intAttribute(node, "group", 1), this.block)!;
    const input = shape.inputBlocked ? this.blockedOf(node.inputs[0]) : this.plainOf(node.inputs[0]);
    const weightName = `${node.inputs[1]}/blocked${shape.group}`;
    if (!this.constants.has(weightName)) {
      this.constants.set(weightName, blockedWeight(weight, shape, this.block));
    }
    const inputs = [input, weightName];
    if (node.inputs[2]) {
      const name = nameOf(node.inputs[2]);
      this.constants.set(name, blockedBias(this.constantInput(node, 2)!, shape.outChannels));
      inputs.push(name);
    }
    if (addition) inputs.push(...(inputs.length < 3 ? [""] : []), this.blockedOf(addition.sum));
    const raw = addition?.output ?? node.outputs[0];
    const activation = this.activationAfter(raw);
    const output = activation?.node.outputs[0] ?? raw;
    this.types.set(output, this.types.get(node.outputs[0])!);
    if (activation) this.written.add(output);
    this.make(
      "Conv",
      inputs,
      output,
      {
        ...windowAttributes(windowOf(node, weight.dims.slice(2)), shape.group),
        ...(activation
          ? {
              activation: text(activation.name),
              activation_params: { kind: "floats", value: activation.parameters },
            }
          : {}),
      },
      blockedDomain,
    );
  }

  private activationAfter(value: string): Activation | undefined {
    const reader = this.links.onlyReader(value);
    return reader && activationOf(reader, this.constants);
  }

  /** Writes a convolution that waited, without a sum. */
  protected override beforeUse(value: string): void {
    const node = this.waiting.get(value);
    if (node === undefined) return;
    this.waiting.delete(value);
    this.convolve(node);
  }

  /** An addition to a convolution that waits for it. */
  private sum(node: Node): boolean {
    const at = node.inputs.findLastIndex((input) => this.waiting.has(input));
    if (node.op !== "Add" || node.domain !== "" || at < 0) return false;
    const convolution = this.waiting.get(node.inputs[at])!;
    this.waiting.delete(node.inputs[at]);
    const output = node.outputs[0];
    this.types.set(output, this.types.get(node.inputs[at])!);
    this.convolve(convolution, { sum: node.inputs[1 - at], output });
    return true;
  }

  /** Element-wise operators of images of one shape, of which at least one is blocked, and of scalars. */
  private elementwise(node: Node): boolean {
    if (!isElementwise(node) || node.outputs.length !== 1) return false;
    for (const input of node.inputs) this.beforeUse(input);
    const isScalar = (input: string) => {
      const constant = this.constants.get(input);
      return (
        input === "" || (constant !== undefined && sizeOf(constant.dims) === 1 && constant.dims.length <= 4)
      );
    };
    const images = node.inputs.filter((input) => !isScalar(input));
    if (!images.some((input) => this.blocked.has(input))) {
      if (images.length > 0) this.typed(node, images.at(-1)!);
      return false;
    }
    const dims = String(this.imageDims(images[0]));
    if (images.some((input) => String(this.imageDims(input)) !== dims || !this.canBlock(input))) return false;
    this.typed(node, images.at(-1)!);
    const inputs = node.inputs.map((input) => (isScalar(input) ? input : this.blockedOf(input)));
    this.make(node.op, inputs, node.outputs[0], node.attributes, node.domain);
    return true;
  }

  /** Notes the type of an element-wise operator's output, where the trace does not know it and its inputs' are known. */
  private typed(node: Node, like: string): void {
    const output = node.outputs[0];
    const shapes = node.inputs.flatMap((input) => (input === "" ? [] : [this.types.get(input)?.dims]));
    if (this.types.has(output) || !shapes.every((dims) => dims !== undefined)) return;
    const dtype = elementwiseType(node, this.types.get(like)!.dtype);
    if (dtype) this.types.set(output, { dtype, dims: broadcast(shapes) });
  }

  /** Images interleaved along height or width (the phases of a strided convolution's cotangent). */
  private interleave(node: Node): boolean {
    const found = this.interleavings.get(node.outputs[0]);
    if (found === undefined) return false;
    const { axis, parts, inner } = found;
    for (const part of parts) this.beforeUse(part);
    const dims = this.imageDims(parts[0]);
    const alike = dims && parts.every((part) => String(this.imageDims(part)) === String(dims));
    if (
      !alike ||
      !parts.every((part) => this.canBlock(part)) ||
      !parts.some((part) => this.blocked.has(part))
    ) {
      for (const each of inner) {
        this.skipped.delete(each);
        this.rewrite(each);
      }
      return false;
    }
    const output = node.outputs[0];
    const [n, C, h, w] = dims as [number, number, number, number];
    const type = { dtype: "float32" as const, dims: dims.map((d, i) => (i === axis ? d * parts.length : d)) };
    this.types.set(output, type);
    // As blocks of channels, which stay innermost: [n, C/c, h, w, c] with a new axis behind the one that grows.
    const blocks = wholeBlocks(C, this.block) / this.block;
    const apart = [n, blocks, h, w, this.block];
    apart.splice(axis + 1, 0, 1);
    const pieces = parts.map((part, i) => {
      const name = `${output}/part${i}`;
      return this.node("Reshape", [this.blockedOf(part), this.ints(apart)], name, {});
    });
    const joined = this.node("Concat", pieces, `${output}/joined`, { axis: int(axis + 1) });
    this.make("Reshape", [joined, this.ints(this.blockedType(output).dims)], output, {});
    return true;
  }

  /** A transposition of a blocked image to one with the channels last. */
  private channelsToTheEnd(node: Node): boolean {
    const input = node.inputs[0];
    const output = node.outputs[0];
    if (!isTransposition(node, [0, 2, 3, 1])) return false;
    this.beforeUse(input);
    const { dtype, dims } = this.types.get(input) ?? {};
    if (!this.blocked.has(input) || dtype !== "float32" || dims === undefined) return false;
    const attributes = { channels: int(dims[1]), channels_last: int(1) };
    this.node("ReorderOutput", [nameOf(input)], output, attributes, blockedDomain);
    this.plain.add(output);
    this.types.set(output, { dtype, dims: imageShape(node, this.constants, this.types)! });
    return true;
  }

  /** Pooling of a blocked image. */
  private pool(node: Node): boolean {
    const [input, output] = [node.inputs[0] ?? "", node.outputs[0]];
    const pools = ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"];
    if (!pools.includes(node.op) || node.domain !== "" || node.outputs.length !== 1) return false;
    if (!this.blocked.has(input) || this.imageDims(output) === undefined) return false;
    this.make(node.op, [this.blockedOf(input)], output, node.attributes, blockedDomain);
    return true;
  }
}

const isTransposition = (node: Node, perm: readonly number[]): boolean =>
  node.op === "Transpose" && node.domain === "" && String(intsAttribute(node, "perm")) === String(perm);
