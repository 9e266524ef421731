import { getFloat16, setFloat16 } from "@petamoriken/float16";
import { bytesPerElement, type Constant, type DataType, sizeOf } from "./ir.ts";

/** A constant from numbers (int64 and uint64 saturate, bool is 0 or 1). */
export function constantOf(dtype: DataType, dims: readonly number[], values: ArrayLike<number>): Constant {
  if (values.length !== sizeOf(dims)) {
    throw new RangeError(`a constant of shape [${dims}] needs ${sizeOf(dims)} numbers, got ${values.length}`);
  }
  if (dtype === "float32" && values instanceof Float32Array) {
    return { dtype, dims, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
  }
  const width = bytesPerElement[dtype];
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  const write = writers[dtype];
  if (!write) throw new RangeError(`constants of type ${dtype} cannot be made from numbers`);
  for (let i = 0; i < values.length; i++) write(view, i * width, values[i]);
  return { dtype, dims, bytes };
}

/** The numbers of a constant, as doubles (int64 beyond 2^53 loses low bits, which no shape needs). */
export function numbersOf(constant: Constant): Float64Array {
  const count = sizeOf(constant.dims);
  const out = new Float64Array(count);
  const width = bytesPerElement[constant.dtype];
  const read = readers[constant.dtype];
  if (!read) throw new RangeError(`constants of type ${constant.dtype} have no numbers`);
  const view = new DataView(constant.bytes.buffer, constant.bytes.byteOffset, constant.bytes.byteLength);
  for (let i = 0; i < count; i++) out[i] = read(view, i * width);
  return out;
}

/** The float32 values of a float constant: a view where the bytes allow it, a copy elsewhere. */
export function float32Of(constant: Constant): Float32Array {
  const { dtype, bytes, dims } = constant;
  const count = sizeOf(dims);
  if (dtype === "float32") {
    if (bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, count);
    return new Float32Array(bytes.slice().buffer, 0, count);
  }
  return Float32Array.from(numbersOf(constant));
}

const saturate = (value: number, bits: 63 | 64): bigint => {
  const limit = 2 ** bits;
  if (value >= limit) return 2n ** BigInt(bits) - 1n;
  if (value <= -limit) return -(2n ** BigInt(bits));
  return BigInt(Math.trunc(value));
};

/** An integer as int64, saturated at the ends of its range (INT64_MAX stands for "to the end" in Slice). */
export function int64Of(value: number): bigint {
  return saturate(value, 63);
}

type Write = (view: DataView, offset: number, value: number) => void;
type Read = (view: DataView, offset: number) => number;

const writers: Partial<Record<DataType, Write>> = {
  float32: (v, o, x) => v.setFloat32(o, x, true),
  float64: (v, o, x) => v.setFloat64(o, x, true),
  float16: (v, o, x) => setFloat16(v, o, x, true),
  int8: (v, o, x) => v.setInt8(o, x),
  uint8: (v, o, x) => v.setUint8(o, x),
  int16: (v, o, x) => v.setInt16(o, x, true),
  uint16: (v, o, x) => v.setUint16(o, x, true),
  int32: (v, o, x) => v.setInt32(o, x, true),
  uint32: (v, o, x) => v.setUint32(o, x, true),
  int64: (v, o, x) => v.setBigInt64(o, saturate(x, 63), true),
  uint64: (v, o, x) => v.setBigUint64(o, saturate(x, 64), true),
  bool: (v, o, x) => v.setUint8(o, x ? 1 : 0),
};

const bits = new DataView(new ArrayBuffer(4));

const readers: Partial<Record<DataType, Read>> = {
  float32: (v, o) => v.getFloat32(o, true),
  float64: (v, o) => v.getFloat64(o, true),
  float16: (v, o) => getFloat16(v, o, true),
  bfloat16: (v, o) => {
    bits.setUint32(0, v.getUint16(o, true) << 16);
    return bits.getFloat32(0);
  },
  int8: (v, o) => v.getInt8(o),
  uint8: (v, o) => v.getUint8(o),
  int16: (v, o) => v.getInt16(o, true),
  uint16: (v, o) => v.getUint16(o, true),
  int32: (v, o) => v.getInt32(o, true),
  uint32: (v, o) => v.getUint32(o, true),
  int64: (v, o) => Number(v.getBigInt64(o, true)),
  uint64: (v, o) => Number(v.getBigUint64(o, true)),
  bool: (v, o) => v.getUint8(o),
};
