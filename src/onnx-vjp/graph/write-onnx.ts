import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_SequenceSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { int64Of } from "./constant.ts";
import { protoOfDataType } from "./data-type.ts";
import { type Attribute, bytesPerElement, type Constant, type Graph, type ValueInfo } from "./ir.ts";

/** A constant kept out of the protobuf: the model refers to it by `path`. */
export interface ExternalConstant {
  readonly path: string;
  readonly data: Uint8Array;
}

/** A written model: the protobuf bytes, and the external data that its large constants refer to. */
export interface WrittenModel {
  readonly model: Uint8Array;
  /** One entry a constant; `data` is the constant's own bytes, not a copy. */
  readonly external: readonly ExternalConstant[];
}

export interface WriteOptions {
  /** Constants of this many bytes and more are left out as external data (default: none). */
  readonly externalFrom?: number;
  /** Where a large constant's bytes are within a file of many; by default each is a file by itself. */
  readonly placeOf?: (data: Uint8Array) => ExternalPlace;
  /** Values to fetch before the graph's outputs; their types are left to ONNX Runtime. */
  readonly extraOutputs?: readonly string[];
}

/** A stretch of a file, named relative to the model's folder. */
export interface ExternalPlace {
  readonly path: string;
  readonly offset: number;
}

/** Serializes a graph as an ONNX ModelProto. Protobuf ends at 2 GB: larger graphs need external data. */
export function writeOnnx(graph: Graph, options: WriteOptions = {}): WrittenModel {
  const external: ExternalConstant[] = [];
  const from = options.externalFrom ?? Number.POSITIVE_INFINITY;
  const place = (constant: Constant): ExternalPlace | undefined => {
    if (constant.bytes.byteLength < from) return undefined;
    if (options.placeOf) return options.placeOf(constant.bytes);
    const path = `constant-${external.length}.bin`;
    external.push({ path, data: aligned(constant) });
    return { path, offset: 0 };
  };
  const domains = new Set(graph.nodes.map((node) => node.domain).filter((domain) => domain !== ""));
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    producerName: "clp-dd",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(graph.opset) }),
      ...[...domains].map((domain) => create(OperatorSetIdProtoSchema, { domain, version: 1n })),
    ],
    graph: graphProto(graph, place, options.extraOutputs),
  });
  return { model: toBinary(ModelProtoSchema, model), external };
}

type Place = ((constant: Constant) => ExternalPlace | undefined) | undefined;

/** The constant's bytes at an address its element type allows: a file's view may start anywhere. */
function aligned(constant: Constant): Uint8Array {
  const width = bytesPerElement[constant.dtype] || 1;
  return constant.bytes.byteOffset % width === 0 ? constant.bytes : constant.bytes.slice();
}

function graphProto(graph: Graph, place: Place, extraOutputs: readonly string[] = []): GraphProto {
  return create(GraphProtoSchema, {
    name: graph.name,
    node: graph.nodes.map((node) =>
      create(NodeProtoSchema, {
        name: node.name,
        opType: node.op,
        domain: node.domain,
        input: [...node.inputs],
        output: [...node.outputs],
        attribute: Object.entries(node.attributes).map(([name, value]) => attributeProto(name, value)),
      }),
    ),
    input: graph.inputs.map(valueInfoProto),
    output: [
      ...extraOutputs.map((name) => create(ValueInfoProtoSchema, { name })),
      ...graph.outputs.map(outputProto),
    ],
    initializer: [...graph.constants].map(([name, constant]) => tensorProto(name, constant, place)),
  });
}

/** An output without dimensions is a scalar, or of a shape that nobody knows yet: ONNX Runtime infers which. */
const outputProto = (info: ValueInfo): ValueInfoProto =>
  valueInfoProto(info.dims.length > 0 ? info : { ...info, ranked: false });

function valueInfoProto(info: ValueInfo): ValueInfoProto {
  if (info.typed === false) return create(ValueInfoProtoSchema, { name: info.name });
  const dim = info.dims.map((d) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof d === "number"
          ? { case: "dimValue", value: BigInt(d) }
          : d === ""
            ? { case: undefined }
            : { case: "dimParam", value: d },
    }),
  );
  const shape = info.ranked === false ? undefined : create(TensorShapeProtoSchema, { dim });
  const elemType = protoOfDataType(info.dtype);
  const tensor = create(TypeProto_TensorSchema, { elemType, ...(shape ? { shape } : {}) });
  const type = create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } });
  if (!info.sequence) return create(ValueInfoProtoSchema, { name: info.name, type });
  const sequence = create(TypeProto_SequenceSchema, { elemType: type });
  return create(ValueInfoProtoSchema, {
    name: info.name,
    type: create(TypeProtoSchema, { value: { case: "sequenceType", value: sequence } }),
  });
}

function tensorProto(name: string, constant: Constant, place?: Place): TensorProto {
  const dims = constant.dims.map(BigInt);
  const dataType = protoOfDataType(constant.dtype);
  const where = place?.(constant);
  if (where !== undefined) {
    const entry = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
    return create(TensorProtoSchema, {
      name,
      dims,
      dataType,
      dataLocation: DataLocation.EXTERNAL,
      externalData: [
        entry("location", where.path),
        entry("offset", String(where.offset)),
        entry("length", String(constant.bytes.byteLength)),
      ],
    });
  }
  return create(TensorProtoSchema, {
    name,
    dims,
    dataType,
    rawData: constant.bytes as Uint8Array<ArrayBuffer>,
  });
}

const encoder = new TextEncoder();

function attributeProto(name: string, attribute: Attribute): AttributeProto {
  switch (attribute.kind) {
    case "int":
      return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: int64Of(attribute.value) });
    case "float":
      return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: attribute.value });
    case "string":
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.STRING,
        s: encoder.encode(attribute.value),
      });
    case "ints":
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.INTS,
        ints: attribute.value.map(int64Of),
      });
    case "floats":
      return create(AttributeProtoSchema, { name, type: AttributeType.FLOATS, floats: [...attribute.value] });
    case "strings":
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.STRINGS,
        strings: attribute.value.map((s) => encoder.encode(s)),
      });
    case "tensor":
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.TENSOR,
        t: tensorProto("", attribute.value),
      });
    case "graph":
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.GRAPH,
        g: graphProto(attribute.value, undefined),
      });
  }
}
