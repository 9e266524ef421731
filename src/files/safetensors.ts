import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { DataError, messageOf } from "../errors.ts";
import { readExactly } from "./read-exactly.ts";
import { requireRegular } from "./regular-file.ts";
import {
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsType,
  safetensorsFloats,
  safetensorsHeaderLength,
  safetensorsWidths as widths,
} from "./safetensors-header.ts";

export type { SafetensorsType };

/** A tensor to write: its bytes come whole, or piece by piece. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView | AsyncIterable<ArrayBufferView> | (() => AsyncIterable<ArrayBufferView>);
}

/**
 * Writes a safetensors file (https://github.com/huggingface/safetensors), streaming, and syncs it.
 * Returns its sha256. Tensors are in the order given.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  // Without a prototype, so that a tensor may be called "__proto__".
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata });
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const size = widths[dtype] * shape.reduce((product, d) => product * d, 1);
    header[name] = { dtype, shape: [...shape], data_offsets: [offset, offset + size] };
    offset += size;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces up to a multiple of 8, so that every tensor of the file can be viewed in place.
  const padded = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(text, 8);
  const file = await open(path, "w");
  const hash = createHash("sha256");
  try {
    await append(file, hash, padded);
    for (const { name, dtype, shape, data } of tensors) {
      let written = 0;
      const pieces = ArrayBuffer.isView(data) ? [data] : typeof data === "function" ? data() : data;
      for await (const piece of pieces) written += await append(file, hash, piece);
      const expected = widths[dtype] * shape.reduce((product, d) => product * d, 1);
      if (written !== expected) throw new Error(`${name} has ${written} bytes, its shape says ${expected}`);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

async function append(file: FileHandle, hash: Hash, view: ArrayBufferView): Promise<number> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  hash.update(bytes);
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
  return bytes.length;
}

/** A safetensors file opened for reading; tensors are read when asked for. */
export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Pick<SafetensorsEntry, "dtype" | "shape">>;
  /** The values of an F32, F16, BF16 or F64 tensor as float32. */
  floats(name: string): Promise<Float32Array>;
  /** The float32 values of an F32 tensor. */
  float32(name: string): Promise<Float32Array>;
  /** The float64 values of an F64 tensor. */
  float64(name: string): Promise<Float64Array>;
  close(): Promise<void>;
}

/** Opens a safetensors file. Throws DataError for a header or offsets that do not fit the file. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const damaged = (what: string) => new DataError(`${path} is damaged: ${what}. Copy or make it again.`);
  let file: FileHandle;
  try {
    await requireRegular(path);
    file = await open(path, "r");
  } catch (error) {
    throw new DataError(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  try {
    const { size } = await file.stat();
    const bytesAt = (offset: number, length: number, what: string) =>
      readExactly(file, new Uint8Array(length), offset, () => damaged(`${what} ends early`));
    const length = safetensorsHeaderLength(path, await bytesAt(0, Math.min(8, size), "it"), size);
    const header = await bytesAt(8, length, "its header");
    const { metadata, tensors } = parseSafetensorsHeader(path, header, size);
    const read = async (name: string, dtype?: SafetensorsType): Promise<Uint8Array<ArrayBuffer>> => {
      const tensor = tensors.get(name);
      if (tensor === undefined || (dtype !== undefined && tensor.dtype !== dtype))
        throw damaged(`it has no ${dtype === undefined ? "" : `${dtype} `}tensor "${name}"`);
      return bytesAt(tensor.offset, tensor.bytes, `the tensor "${name}"`);
    };
    return {
      metadata,
      tensors,
      float32: async (name) => new Float32Array((await read(name, "F32")).buffer),
      float64: async (name) => new Float64Array((await read(name, "F64")).buffer),
      floats: async (name) => safetensorsFloats(tensors.get(name)?.dtype ?? "F32", await read(name)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
