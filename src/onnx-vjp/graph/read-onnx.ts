import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { ModelError, messageOf } from "../errors.ts";
import { protoOfDataType } from "./data-type.ts";
import {
  type Attribute,
  type Attributes,
  type Constant,
  type Graph,
  identity,
  type Node,
  type ValueInfo,
} from "./ir.ts";
import { requireNoNativeFault } from "./native-faults.ts";
import { inExecutionOrder } from "./order.ts";
import { constantFrom, constantOfNode, dtypeFrom, type ReadExternal } from "./read-tensor.ts";

export type { ReadExternal } from "./read-tensor.ts";

/** Oldest and newest versions of the standard operator set that are read. */
export const readableOpsets = { from: 7, to: 24 } as const;

/** Domains of the layouts that ONNX Runtime rewrites convolutions to, for one kind of CPU. */
const layoutDomains: ReadonlySet<string> = new Set(["com.microsoft.nchwc", "com.ms.internal.nhwc"]);

/**
 * Reads an ONNX file. Constants are copies of their bytes as stored: a file seldom has them where their numbers may be,
 * and its own bytes can go. Nothing is decoded. Calls of functions that the file defines are replaced by the functions'
 * nodes; outputs that are not tensors are left out, and a ZipMap's input takes the place of its output.
 * Throws ModelError for a file that is not an ONNX model, is truncated, or whose external data is missing.
 * @param name how the file is called in messages
 */
export async function readOnnx(bytes: Uint8Array, name: string, readExternal?: ReadExternal): Promise<Graph> {
  let model: ModelProto;
  try {
    // A plain Uint8Array: the `slice` of Node's Buffer does not copy.
    model = fromBinary(ModelProtoSchema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw new ModelError(
      `${name} is not a readable ONNX model (${messageOf(error)}). Expected a whole .onnx file; ` +
        "check that the download or copy finished.",
      { cause: error },
    );
  }
  const opset = standardOpset(model.opsetImport) ?? 0;
  if (!model.graph || model.graph.node.length === 0 || opset === 0) {
    throw new ModelError(`${name} is not an ONNX model: it holds no graph. Expected an exported .onnx file.`);
  }
  if (opset < readableOpsets.from || opset > readableOpsets.to) {
    throw new ModelError(
      `${name} uses ONNX opset ${opset}; ${readableOpsets.from} to ${readableOpsets.to} are read. ` +
        "Export it again with one of these.",
    );
  }
  const saved = model.graph.node.find((node) => layoutDomains.has(node.domain));
  if (saved !== undefined) {
    throw new ModelError(
      `${name} was saved by ONNX Runtime after all of its optimizations: the node "${saved.name || saved.output[0]}" ` +
        `(${saved.domain}) is in the layout of one kind of CPU, which is not read. Use the model from before that, or ` +
        "save it again with graph_optimization_level ORT_ENABLE_EXTENDED or lower.",
    );
  }
  const reader = new Reader(name, opset, model.functions, readExternal);
  keepTensorOutputs(model.graph, name);
  const graph = await reader.graph(model.graph);
  requireNoNativeFault(graph, name);
  return graph;
}

/** Leaves tensors alone as a graph's outputs. */
function keepTensorOutputs(graph: GraphProto, name: string): void {
  const producers = new Map(
    graph.node.flatMap((node) => node.output.map((output) => [output, node] as const)),
  );
  const isTensor = (info: ValueInfoProto) => info.type?.value.case === "tensorType";
  const outputs = graph.output.flatMap((output) => {
    if (isTensor(output)) return [output];
    // ZipMap pairs a row of scores with the names of their classes.
    const node = producers.get(output.name);
    const scores = node?.opType === "ZipMap" ? node.input[0] : undefined;
    if (scores === undefined || graph.output.some((other) => other.name === scores)) return [];
    const tensor = create(TypeProto_TensorSchema, { elemType: protoOfDataType("float32") });
    const type = create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } });
    return [create(ValueInfoProtoSchema, { name: scores, type })];
  });
  if (outputs.length === 0 && graph.output.length > 0) {
    throw new ModelError(
      `${name}: the output "${graph.output[0].name}" is a sequence or a map. ` +
        "Expected a model from images to feature tensors.",
    );
  }
  graph.output = outputs;
}

/** Version of the standard operator set among those that a model or function imports. */
function standardOpset(imports: ModelProto["opsetImport"]): number | undefined {
  const version = imports.find((o) => o.domain === "" || o.domain === "ai.onnx")?.version;
  return version === undefined ? undefined : Number(version);
}

/** What names and attributes mean where a node stands: in the file's own graphs what they say. */
interface Scope {
  value(name: string): string;
  /** Begins the names of nodes, which are to differ, too. */
  readonly prefix: string;
  /** What a function was called with; its nodes refer to it. */
  readonly attributes: ReadonlyMap<string, Attribute>;
  /** Functions that are being expanded. */
  readonly calls: readonly FunctionProto[];
}

const ownScope: Scope = { value: (name) => name, prefix: "", attributes: new Map(), calls: [] };

interface Parts {
  readonly nodes: Node[];
  readonly constants: Map<string, Constant>;
}

class Reader {
  private readonly name: string;
  private readonly opset: number;
  private readonly functions: ReadonlyMap<string, FunctionProto>;
  private readonly readExternal: ReadExternal | undefined;
  private calls = 0;

  constructor(
    name: string,
    opset: number,
    functions: readonly FunctionProto[],
    readExternal: ReadExternal | undefined,
  ) {
    this.name = name;
    this.opset = opset;
    this.functions = new Map(functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
    this.readExternal = readExternal;
  }

  async graph(proto: GraphProto, scope = ownScope): Promise<Graph> {
    const { name } = this;
    if (proto.sparseInitializer.length > 0) {
      throw new ModelError(`${name} holds sparse weights, which are not read. Export it with dense weights.`);
    }
    const parts: Parts = { nodes: [], constants: new Map() };
    for (const tensor of proto.initializer) {
      parts.constants.set(scope.value(tensor.name), await constantFrom(tensor, name, this.readExternal));
    }
    for (const node of proto.node) await this.node(node, scope, parts);
    return {
      name: proto.name || "graph",
      opset: this.opset,
      // Old exporters list initializers among the inputs.
      inputs: proto.input
        .map((input) => valueInfoFrom(input, name, scope))
        .filter((input) => !parts.constants.has(input.name)),
      // An output without a shape is of any, or a scalar.
      outputs: proto.output.map((output) => {
        const { ranked: _, ...info } = valueInfoFrom(output, name, scope);
        return info;
      }),
      nodes: inExecutionOrder(parts.nodes, name),
      constants: parts.constants,
    };
  }

  private async node(node: NodeProto, scope: Scope, { nodes, constants }: Parts): Promise<void> {
    const attributes = await this.attributes(node, scope);
    const domain = node.domain === "ai.onnx" ? "" : node.domain;
    const inputs = node.input.map((input) => (input === "" ? "" : scope.value(input)));
    const outputs = node.output.map((output) => (output === "" ? "" : scope.value(output)));
    if ([...inputs, ...outputs].includes("__proto__")) {
      throw new ModelError(
        `${this.name} has a value "__proto__", a name that JavaScript has for something else. Give it another name.`,
      );
    }
    if (domain === "" && node.opType === "Constant") {
      constants.set(outputs[0], constantOfNode(attributes, this.name));
      return;
    }
    const called = this.functions.get(functionKey(node.domain, node.opType, node.overload));
    if (called !== undefined) {
      await this.expand(called, { inputs, outputs, attributes }, scope, { nodes, constants });
      return;
    }
    const name = node.name === "" ? "" : `${scope.prefix}${node.name}`;
    nodes.push({ op: node.opType, domain, name, inputs, outputs, attributes });
  }

  /** Writes a function's nodes in the place of its call. */
  private async expand(
    called: FunctionProto,
    call: Pick<Node, "inputs" | "outputs" | "attributes">,
    scope: Scope,
    parts: Parts,
  ): Promise<void> {
    const own = standardOpset(called.opsetImport) ?? this.opset;
    if (own !== this.opset || scope.calls.includes(called)) {
      throw new ModelError(
        `${this.name} defines the function ${called.name} ` +
          (own === this.opset ? "by itself" : `for opset ${own} in a model of opset ${this.opset}`) +
          ", which is not read. Export it again with functions inlined (onnx.inliner.inline_local_functions).",
      );
    }
    const defaults: [string, Attribute][] = [];
    for (const proto of called.attributeProto) {
      defaults.push([proto.name, await this.attribute(proto, ownScope, `function ${called.name}`)]);
    }
    const bound = new Map<string, string>();
    for (const [i, input] of called.input.entries()) bound.set(input, call.inputs[i] ?? "");
    for (const [i, output] of called.output.entries()) {
      const given = call.outputs[i] ?? "";
      if (given !== "" && !bound.has(output)) bound.set(output, given);
    }
    const prefix = `${call.outputs.find((output) => output !== "") ?? called.name}/${called.name}${this.calls++}/`;
    const inner: Scope = {
      value: (value) => bound.get(value) ?? `${prefix}${value}`,
      prefix,
      attributes: new Map([...defaults, ...Object.entries(call.attributes)]),
      calls: [...scope.calls, called],
    };
    for (const node of called.node) await this.node(node, inner, parts);
    // An output that is another output or an input as it is has no node that makes it.
    const made = new Set(parts.nodes.flatMap((node) => node.outputs));
    for (const [i, output] of called.output.entries()) {
      const given = call.outputs[i] ?? "";
      if (given === "" || made.has(given) || parts.constants.has(given)) continue;
      const input = inner.value(output);
      if (input === given) continue;
      parts.nodes.push(identity(input, given));
    }
  }

  private async attributes(node: NodeProto, scope: Scope): Promise<Attributes> {
    const attributes: Record<string, Attribute> = {};
    for (const proto of node.attribute) {
      if (proto.refAttrName === "") {
        attributes[proto.name] = await this.attribute(proto, scope, nodeLabel(node));
        continue;
      }
      // What the call does not give, the node does not have.
      const given = scope.attributes.get(proto.refAttrName);
      if (given !== undefined) attributes[proto.name] = given;
    }
    return attributes;
  }

  private async attribute(proto: AttributeProto, scope: Scope, of: string): Promise<Attribute> {
    const without = (what: string) =>
      new ModelError(
        `${this.name}: the attribute "${proto.name}" of ${of} is said to be a ${what} and holds none. ` +
          "The file is damaged: fetch or export it again.",
      );
    switch (proto.type) {
      case AttributeType.INT:
        return { kind: "int", value: Number(proto.i) };
      case AttributeType.FLOAT:
        return { kind: "float", value: proto.f };
      case AttributeType.STRING:
        return { kind: "string", value: decoder.decode(proto.s) };
      case AttributeType.INTS:
        return { kind: "ints", value: proto.ints.map(Number) };
      case AttributeType.FLOATS:
        return { kind: "floats", value: proto.floats };
      case AttributeType.STRINGS:
        return { kind: "strings", value: proto.strings.map((s) => decoder.decode(s)) };
      case AttributeType.TENSOR:
        if (proto.t === undefined) throw without("tensor");
        return { kind: "tensor", value: await constantFrom(proto.t, this.name, this.readExternal) };
      case AttributeType.GRAPH:
        if (proto.g === undefined) throw without("graph");
        return { kind: "graph", value: await this.graph(proto.g, scope) };
      default:
        throw new ModelError(
          `${this.name}: the attribute "${proto.name}" of ${of} has type ${proto.type}, which is not read.`,
        );
    }
  }
}

/** How a node is called in messages. */
const nodeLabel = ({ name, opType, output }: NodeProto): string =>
  name === "" ? `the ${opType} that makes "${output[0] ?? ""}"` : `"${name}" (${opType})`;

const decoder = new TextDecoder();

const functionKey = (domain: string, name: string, overload: string): string =>
  `${domain === "ai.onnx" ? "" : domain}:${name}:${overload}`;

/**
 * A declared tensor, or a sequence of tensors in a body. Exporters write 0 for a size that is open, and −1 for the batch; on
 * other axes −1 is refused: the specification has no negative sizes, and names a side that is open.
 * @throws ModelError for a negative size, or one beyond 2⁵³
 */
function valueInfoFrom(info: ValueInfoProto, name: string, scope: Scope): ValueInfo {
  const own = scope.value(info.name);
  const type = info.type?.value;
  // The bodies of branches and loops need not declare their values.
  if (type?.case === undefined) return { name: own, dtype: "float32", dims: [], ranked: false, typed: false };
  const element = type.case === "sequenceType" ? type.value.elemType?.value : type;
  if (element?.case !== "tensorType") {
    throw new ModelError(
      `${name}: "${info.name}" is not a tensor. Expected a model from images to feature tensors.`,
    );
  }
  const dtype = dtypeFrom(element.value.elemType, info.name, name);
  if (type.case === "sequenceType") return { name: own, dtype, dims: [], ranked: false, sequence: true };
  const { shape } = element.value;
  if (shape === undefined) return { name: own, dtype, dims: [], ranked: false };
  const dims = shape.dim.map((d, axis) => {
    if (d.value.case === "dimParam") return d.value.value;
    if (d.value.case !== "dimValue") return "";
    const size = d.value.value;
    if (size < (axis === 0 ? -1n : 0n) || size > BigInt(Number.MAX_SAFE_INTEGER)) {
      const open = size === -1n ? " A side that is open has a name, or nothing, in place of a size." : "";
      throw new ModelError(
        `${name}: "${info.name}" is declared with a side of ${size}, which no tensor has (axis ${axis}).${open} Export the ` +
          "model again.",
      );
    }
    return size > 0n ? Number(size) : "";
  });
  return { name: own, dtype, dims };
}
