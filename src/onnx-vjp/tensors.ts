import { Tensor } from "onnxruntime-common";
import { ShapeError, UsageError } from "./errors.ts";
import { type DataType, sizeOf, type TensorType } from "./graph/ir.ts";

/** The arrays that hold a tensor's numbers, row-major, by its element type. */
const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

type TensorArray = InstanceType<(typeof arrays)[keyof typeof arrays]>;

/** A tensor given to a model: its shape and its numbers, row-major. A Tensor of ONNX Runtime is one, too. */
export interface TensorLike {
  readonly dims: readonly number[];
  /** Float32Array for float32, BigInt64Array for int64, Uint8Array for uint8 and bool, … */
  readonly data: ArrayBufferView | readonly string[];
}

/** A tensor of floating-point numbers that a model gives: its shape and its numbers, row-major. */
export interface FloatTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array | Float64Array;
}

/** Whether values of a type have gradients. */
export const isFloat = (dtype: DataType): dtype is "float32" | "float64" =>
  dtype === "float32" || dtype === "float64";

/**
 * A copy of `given` as a tensor of ONNX Runtime's: what the caller writes into it later must not change a gradient.
 * @throws UsageError for numbers of another type
 * @throws ShapeError for more or fewer numbers than the shape holds
 */
export function toTensor(name: string, dtype: DataType, { dims, data }: TensorLike): Tensor {
  const Kind = Object.hasOwn(arrays, dtype) ? arrays[dtype as keyof typeof arrays] : undefined;
  if (Kind === undefined) {
    throw new UsageError(
      `The input "${name}" is ${dtype}. Expected a model with inputs of ${Object.keys(arrays).join(", ")}.`,
    );
  }
  if (!(data instanceof Kind)) {
    const given = (data as object | undefined)?.constructor.name ?? typeof data;
    throw new UsageError(
      `The numbers of "${name}" are given as ${given}. Expected ${Kind.name}: the input is ${dtype}.`,
    );
  }
  requireSize(name, data.length, dims);
  return new Tensor(dtype as "float32", data.slice() as Float32Array, dims);
}

/** The numbers of a cotangent, as an array of the type of the output that it belongs to. */
export function toNumbers(
  name: string,
  { dtype, dims }: TensorType,
  given: FloatTensor | ArrayLike<number>,
): Float32Array | Float64Array {
  const numbers = "data" in given ? given.data : given;
  requireSize(`the cotangent of ${name}`, numbers.length, dims);
  if ("data" in given && String(given.dims) !== String(dims)) {
    throw new ShapeError(
      `The cotangent of "${name}" has shape [${given.dims.join(", ")}]. Expected that of the output: [${dims.join(", ")}].`,
    );
  }
  return dtype === "float64" ? Float64Array.from(numbers) : Float32Array.from(numbers);
}

/** A tensor that ONNX Runtime gave, in arrays of JavaScript's. With `copy`, in others than the tensor's. */
export function fromTensor(tensor: Tensor, copy = false): FloatTensor {
  const data = tensor.data as Float32Array;
  return { dims: tensor.dims, data: copy ? data.slice() : data };
}

/** Zeros of a type. */
export function zerosOf({ dtype, dims }: TensorType): FloatTensor {
  const Kind = dtype === "float64" ? Float64Array : Float32Array;
  return { dims, data: new Kind(sizeOf(dims)) };
}

function requireSize(name: string, length: TensorArray["length"], dims: readonly number[]): void {
  if (length === sizeOf(dims)) return;
  throw new ShapeError(
    `${name} has shape [${dims.join(", ")}], which is ${sizeOf(dims)} numbers, and ${length} were given.`,
  );
}
