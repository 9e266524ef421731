import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import * as z from "zod";
import { DataError, messageOf } from "../errors.ts";

/** Element types that are written here, with their width in bytes. */
const widths = { F32: 4, F64: 8, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 } as const;
export type SafetensorsType = keyof typeof widths;

/** A tensor to write: its bytes come whole, or piece by piece. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView | AsyncIterable<ArrayBufferView> | (() => AsyncIterable<ArrayBufferView>);
}

const size = z.int().nonnegative();
const Entry = z.object({ dtype: z.string(), shape: z.array(size), data_offsets: z.tuple([size, size]) });
type Entry = z.infer<typeof Entry>;
const Header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(Entry);

/**
 * Writes a safetensors file (https://github.com/huggingface/safetensors), streaming, and syncs it.
 * Returns its sha256. Tensors lie in the order given.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const size = widths[dtype] * shape.reduce((product, d) => product * d, 1);
    header[name] = { dtype, shape: [...shape], data_offsets: [offset, offset + size] } satisfies Entry;
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
  readonly tensors: ReadonlyMap<
    string,
    { readonly dtype: SafetensorsType; readonly shape: readonly number[] }
  >;
  /** The float32 values of an F32 tensor. */
  float32(name: string): Promise<Float32Array>;
  /** The float64 values of an F64 tensor. */
  float64(name: string): Promise<Float64Array>;
  close(): Promise<void>;
}

const maximumHeader = 100 * 2 ** 20;

/** Opens a safetensors file. Throws DataError for a header or offsets that do not fit the file. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const damaged = (what: string) => new DataError(`${path} is damaged: ${what}. Copy or make it again.`);
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw new DataError(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  try {
    const { size } = await file.stat();
    const start = new Uint8Array(8);
    await file.read(start, 0, 8, 0);
    const length = Number(new DataView(start.buffer).getBigUint64(0, true));
    if (size < 8 || length > size - 8 || length > maximumHeader)
      throw damaged("its header is longer than the file");
    const text = new Uint8Array(length);
    await file.read(text, 0, length, 8);
    const header = Header.safeParse(jsonOrUndefined(new TextDecoder().decode(text)));
    if (!header.success) throw damaged("its header is not as safetensors files have it");
    const { __metadata__: metadata = {}, ...entries } = header.data;
    const tensors = new Map<
      string,
      { dtype: SafetensorsType; shape: readonly number[]; offset: number; bytes: number }
    >();
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
      const [from, to] = data_offsets;
      const width = widths[dtype as SafetensorsType];
      const bytes = width * shape.reduce((product, d) => product * d, 1);
      if (!(from >= 0 && to - from === bytes && 8 + length + to <= size)) {
        throw damaged(`the tensor "${name}" does not lie where its header says`);
      }
      tensors.set(name, { dtype: dtype as SafetensorsType, shape, offset: 8 + length + from, bytes });
    }
    const read = async (name: string, dtype: SafetensorsType): Promise<ArrayBuffer> => {
      const tensor = tensors.get(name);
      if (tensor?.dtype !== dtype) throw damaged(`it has no ${dtype} tensor "${name}"`);
      const bytes = new Uint8Array(tensor.bytes);
      let at = 0;
      while (at < bytes.length) {
        const { bytesRead } = await file.read(
          bytes,
          at,
          Math.min(bytes.length - at, 2 ** 30),
          tensor.offset + at,
        );
        if (bytesRead === 0) throw damaged(`the tensor "${name}" ends early`);
        at += bytesRead;
      }
      return bytes.buffer;
    };
    return {
      metadata,
      tensors,
      float32: async (name) => new Float32Array(await read(name, "F32")),
      float64: async (name) => new Float64Array(await read(name, "F64")),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
