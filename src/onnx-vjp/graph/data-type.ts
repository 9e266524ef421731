import { TensorProto_DataType as Proto } from "onnx-buf";
import type { DataType } from "./ir.ts";

const pairs: readonly (readonly [DataType, Proto])[] = [
  ["float32", Proto.FLOAT],
  ["float64", Proto.DOUBLE],
  ["float16", Proto.FLOAT16],
  ["bfloat16", Proto.BFLOAT16],
  ["int8", Proto.INT8],
  ["uint8", Proto.UINT8],
  ["int16", Proto.INT16],
  ["uint16", Proto.UINT16],
  ["int32", Proto.INT32],
  ["uint32", Proto.UINT32],
  ["int64", Proto.INT64],
  ["uint64", Proto.UINT64],
  ["bool", Proto.BOOL],
  ["string", Proto.STRING],
];
const toProto = new Map<DataType, Proto>(pairs);
const fromProto = new Map<number, DataType>(pairs.map(([dtype, proto]) => [proto, dtype]));

/** ONNX's number of an element type, as in TensorProto.data_type and the Cast operator's `to`. */
export function protoOfDataType(dtype: DataType): number {
  return toProto.get(dtype)!;
}

/** The element type of ONNX's number, or undefined for one this project does not read. */
export function dataTypeOfProto(number: number): DataType | undefined {
  return fromProto.get(number);
}
