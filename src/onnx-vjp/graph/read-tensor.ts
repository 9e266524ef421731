import { TensorProto_DataLocation as DataLocation, type TensorProto } from "onnx-buf";
import { ModelError } from "../errors.ts";
import { constantOf } from "./constant.ts";
import { dataTypeOfProto } from "./data-type.ts";
import { type Attributes, bytesPerElement, type Constant, type DataType, sizeOf } from "./ir.ts";

/** Reads `length` bytes at `offset` of the external data file `location` (a path relative to the model's folder). */
export type ReadExternal = (
  location: string,
  offset: number,
  length: number | undefined,
) => Promise<Uint8Array>;

/** The element type of ONNX's number. Throws ModelError for one that is not read. */
export function dtypeFrom(proto: number, tensor: string, name: string): DataType {
  const dtype = dataTypeOfProto(proto);
  if (dtype === undefined) {
    throw new ModelError(`${name}: "${tensor}" has ONNX element type ${proto}, which is not read.`);
  }
  return dtype;
}

/**
 * A tensor of the file as a constant: its bytes as stored.
 * @param name how the file is called in messages
 * @throws ModelError for damaged tensors and external data that are missing
 */
export async function constantFrom(
  tensor: TensorProto,
  name: string,
  readExternal?: ReadExternal,
): Promise<Constant> {
  const dtype = dtypeFrom(tensor.dataType, tensor.name, name);
  const dims = dimsOf(tensor, bytesPerElement[dtype], name);
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
    try {
      bytes = await readExternal(
        location,
        Number(entries.get("offset") ?? 0),
        length ? Number(length) : expected,
      );
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      throw new ModelError(`${error.message} The weight is "${tensor.name}".`, { cause: error });
    }
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

/** A tensor's shape. Throws ModelError for sizes below 0, or of more bytes than can be counted. */
function dimsOf({ dims, name: tensor }: TensorProto, elementBytes: number, name: string): number[] {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  let bytes = BigInt(Math.max(1, elementBytes));
  // Zeros do not excuse the others: each size is used by itself as well.
  for (const size of dims) {
    if (size > 0n) bytes *= size;
    if (size < 0n || size > most || bytes > most) {
      throw new ModelError(
        `${name}: the weight "${tensor}" has the shape [${dims}], which no tensor has. ` +
          "The file is damaged: fetch it again.",
      );
    }
  }
  return dims.map(Number);
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

/** What a Constant node makes. Throws ModelError for a form that is not read. */
export function constantOfNode(attributes: Attributes, name: string): Constant {
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
