import { fromBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  type ValueInfoProto,
} from "onnx-buf";
import { ModelError, messageOf } from "../errors.ts";
import { constantOf } from "./constant.ts";
import { dataTypeOfProto } from "./data-type.ts";
import {
  type Attribute,
  type Attributes,
  bytesPerElement,
  type Constant,
  type DataType,
  type Graph,
  type Node,
  sizeOf,
  type ValueInfo,
} from "./ir.ts";

import { inExecutionOrder } from "./order.ts";

/** Reads `length` bytes at `offset` of the external data file `location` (a path relative to the model's folder). */
export type ReadExternal = (
  location: string,
  offset: number,
  length: number | undefined,
) => Promise<Uint8Array>;

/** Oldest and newest versions of the standard operator set that are read. */
const readableOpsets = { from: 7, to: 23 } as const;

/**
 * Reads an ONNX file. Constants are copies of their bytes as stored: a file seldom has them where their numbers may lie,
 * and its own bytes can go. Nothing is decoded.
 * Throws ModelError for a file that is no ONNX model, is truncated, or whose external data is missing.
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
  const opset = Number(
    model.opsetImport.find((o) => o.domain === "" || o.domain === "ai.onnx")?.version ?? 0n,
  );
  if (!model.graph || model.graph.node.length === 0 || opset === 0) {
    throw new ModelError(`${name} is not an ONNX model: it holds no graph. Expected an exported .onnx file.`);
  }
  if (opset < readableOpsets.from || opset > readableOpsets.to) {
    throw new ModelError(
      `${name} uses ONNX opset ${opset}; ${readableOpsets.from} to ${readableOpsets.to} are read. ` +
        "Export it again with one of these.",
    );
  }
  if (model.functions.length > 0) {
    throw new ModelError(
      `${name} defines functions of its own (${model.functions[0]!.name}, …), which are not read. ` +
        "Export it again with functions inlined (onnx.inliner.inline_local_functions).",
    );
  }
  return graphOf(model.graph, opset, name, readExternal);
}

async function graphOf(
  proto: GraphProto,
  opset: number,
  name: string,
  readExternal: ReadExternal | undefined,
): Promise<Graph> {
  if (proto.sparseInitializer.length > 0) {
    throw new ModelError(`${name} holds sparse weights, which are not read. Export it with dense weights.`);
  }
  const constants = new Map<string, Constant>();
  for (const tensor of proto.initializer) {
    constants.set(tensor.name, await constantFrom(tensor, name, readExternal));
  }
  const nodes: Node[] = [];
  for (const node of proto.node) {
    const attributes: Record<string, Attribute> = {};
    for (const attribute of node.attribute) {
      attributes[attribute.name] = await attributeFrom(attribute, opset, name, readExternal);
    }
    const domain = node.domain === "ai.onnx" ? "" : node.domain;
    if (domain === "" && node.opType === "Constant") {
      constants.set(node.output[0]!, constantNode(attributes, name));
      continue;
    }
    nodes.push({
      op: node.opType,
      domain,
      name: node.name,
      inputs: node.input,
      outputs: node.output,
      attributes,
    });
  }
  return {
    name: proto.name || "graph",
    opset,
    // Old exporters list initialisers among the inputs.
    inputs: proto.input.filter((i) => !constants.has(i.name)).map((i) => valueInfoFrom(i, name)),
    outputs: proto.output.map((o) => valueInfoFrom(o, name)),
    nodes: inExecutionOrder(nodes, name),
    constants,
  };
}

function valueInfoFrom(info: ValueInfoProto, name: string): ValueInfo {
  const type = info.type?.value;
  if (type?.case !== "tensorType") {
    throw new ModelError(
      `${name}: "${info.name}" is not a tensor. Expected a model from tensors to tensors.`,
    );
  }
  const dims = (type.value.shape?.dim ?? []).map((d) =>
    d.value.case === "dimValue" ? Number(d.value.value) : d.value.case === "dimParam" ? d.value.value : "",
  );
  return { name: info.name, dtype: dtypeFrom(type.value.elemType, info.name, name), dims };
}

function dtypeFrom(proto: number, tensor: string, name: string): DataType {
  const dtype = dataTypeOfProto(proto);
  if (dtype === undefined) {
    throw new ModelError(`${name}: "${tensor}" has ONNX element type ${proto}, which is not read.`);
  }
  return dtype;
}

async function constantFrom(
  tensor: TensorProto,
  name: string,
  readExternal?: ReadExternal,
): Promise<Constant> {
  const dtype = dtypeFrom(tensor.dataType, tensor.name, name);
  const dims = tensor.dims.map(Number);
  const expected = sizeOf(dims) * bytesPerElement[dtype];
  let bytes: Uint8Array;
  if (tensor.dataLocation === DataLocation.EXTERNAL) {
    const entries = new Map(tensor.externalData.map((e) => [e.key, e.value]));
    const location = entries.get("location") ?? "";
    if (!readExternal || location === "") {
      throw new ModelError(
        `${name} keeps the weight "${tensor.name}" in a second file ("${location}"), which was not given. ` +
          "Pass the model by its path, with that file beside it.",
      );
    }
    const length = entries.get("length");
    bytes = await readExternal(
      location,
      Number(entries.get("offset") ?? 0),
      length ? Number(length) : expected,
    );
  } else if (dtype === "string") {
    return { dtype, dims, bytes: new Uint8Array() };
  } else if (tensor.rawData.byteLength > 0 || expected === 0) {
    bytes = tensor.rawData.slice();
  } else {
    bytes = typedBytes(tensor, dtype, dims, name);
  }
  if (bytes.byteLength !== expected) {
    throw new ModelError(
      `${name}: the weight "${tensor.name}" (${dtype} [${dims}]) needs ${expected} bytes and has ${bytes.byteLength}. ` +
        "The file is damaged or truncated: fetch it again.",
    );
  }
  return { dtype, dims, bytes };
}

/** Bytes of a tensor that is stored in the typed fields (float_data, int32_data, …) instead of raw_data. */
function typedBytes(tensor: TensorProto, dtype: DataType, dims: readonly number[], name: string): Uint8Array {
  const values =
    dtype === "float32"
      ? tensor.floatData
      : dtype === "float64"
        ? tensor.doubleData
        : dtype === "int64"
          ? tensor.int64Data.map(Number)
          : dtype === "uint64" || dtype === "uint32"
            ? tensor.uint64Data.map(Number)
            : tensor.int32Data;
  if (values.length !== sizeOf(dims)) {
    throw new ModelError(
      `${name}: the weight "${tensor.name}" of shape [${dims}] holds ${values.length} numbers. ` +
        "The file is damaged: fetch it again.",
    );
  }
  // float16 and bfloat16 are stored as their bit patterns.
  const stored = dtype === "float16" || dtype === "bfloat16" ? "uint16" : dtype;
  return constantOf(stored, dims, values).bytes;
}

function constantNode(attributes: Attributes, name: string): Constant {
  const [key, attribute] = Object.entries(attributes)[0] ?? [];
  switch (attribute?.kind) {
    case "tensor":
      return attribute.value;
    case "float":
      return constantOf("float32", [], [attribute.value]);
    case "int":
      return constantOf("int64", [], [attribute.value]);
    case "floats":
      return constantOf("float32", [attribute.value.length], attribute.value);
    case "ints":
      return constantOf("int64", [attribute.value.length], attribute.value);
    default:
      throw new ModelError(`${name}: a Constant node holds "${key ?? "nothing"}", which is not read.`);
  }
}

const decoder = new TextDecoder();

async function attributeFrom(
  proto: AttributeProto,
  opset: number,
  name: string,
  readExternal: ReadExternal | undefined,
): Promise<Attribute> {
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
      return { kind: "tensor", value: await constantFrom(proto.t!, name, readExternal) };
    case AttributeType.GRAPH:
      return { kind: "graph", value: await graphOf(proto.g!, opset, name, readExternal) };
    default:
      throw new ModelError(`${name}: attribute "${proto.name}" has type ${proto.type}, which is not read.`);
  }
}
