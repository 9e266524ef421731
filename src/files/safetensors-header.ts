import * as z from "zod";
import { DataError } from "../errors.ts";
import { fromHalf } from "../onnx-vjp/graph/half.ts";

/**
 * The safetensors format (https://github.com/huggingface/safetensors): 8 bytes of header length, a JSON header
 * of names, types, shapes and offsets, then the tensors' little-endian bytes. What is here runs in a browser;
 * safetensors.ts reads and writes files.
 */

/** Element types that are known here, with their width in bytes. */
export const safetensorsWidths = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type SafetensorsType = keyof typeof safetensorsWidths;

/** A tensor of a file: its bytes are [offset, offset + bytes) of the file. */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

const size = z.int().nonnegative();
const Entry = z.object({ dtype: z.string(), shape: z.array(size), data_offsets: z.tuple([size, size]) });
const Metadata = z.record(z.string(), z.string()).nullable();

const maximumHeader = 100 * 2 ** 20;

/** The error of a file that is not as it was written. */
export function damagedFile(path: string, what: string): DataError {
  return new DataError(`${path} is damaged: ${what}. Copy or make it again.`);
}

/**
 * Length of the JSON header, from the file's first 8 bytes.
 * @param path the file's name in messages
 * @throws DataError when the file cannot hold a header of that length
 */
export function safetensorsHeaderLength(path: string, start: Uint8Array, fileSize: number): number {
  if (fileSize < 8 || start.length < 8) throw damagedFile(path, "it is too short to be a safetensors file");
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (length > fileSize - 8)
    throw damagedFile(
      path,
      `its header is longer than the file (${length} bytes of header in a file of ${fileSize})`,
    );
  if (length > maximumHeader)
    throw damagedFile(path, `its header of ${length} bytes is longer than any safetensors file may have`);
  return length;
}

/**
 * Reads and checks a header, as strictly as the format's own library: every tensor has a known type and as many bytes
 * as its shape says, and the tensors fill the file from the header to its end, without gaps or overlaps.
 * @param text the header's bytes, after the first 8
 * @throws DataError naming the tensor that breaks a rule
 */
export function parseSafetensorsHeader(path: string, text: Uint8Array, fileSize: number): SafetensorsHeader {
  const header = jsonOrUndefined(text);
  if (typeof header !== "object" || header === null || Array.isArray(header))
    throw damagedFile(path, "its header is not as safetensors files have it");
  const start = 8 + text.length;
  const tensors = new Map<string, SafetensorsEntry>();
  let metadata: Readonly<Record<string, string>> = {};
  // A tensor may be called "__proto__": the parsed object is only walked, never copied.
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      const found = Metadata.safeParse(value);
      if (!found.success) throw damagedFile(path, "its __metadata__ is not texts by name");
      metadata = found.data ?? {};
      continue;
    }
    const entry = Entry.safeParse(value);
    if (!entry.success)
      throw damagedFile(path, `its header's entry "${name}" is not as safetensors files have it`);
    const { dtype, shape, data_offsets } = entry.data;
    const [from, to] = data_offsets;
    if (!isKnown(dtype)) {
      throw new DataError(
        `${path} is damaged or of another kind: the tensor "${name}" has the type ${dtype}, which is not read here ` +
          `(known: ${Object.keys(safetensorsWidths).join(", ")}). Convert the weights to float32 or float16.`,
      );
    }
    const bytes = safetensorsWidths[dtype] * shape.reduce((product, d) => product * d, 1);
    const where = `the tensor "${name}" is not where its header says`;
    if (to - from !== bytes)
      throw damagedFile(
        path,
        `${where}: ${dtype} [${shape.join(", ")}] needs ${bytes} bytes, its offsets span ${to - from}`,
      );
    if (start + to > fileSize)
      throw damagedFile(path, `${where}: it ends ${start + to - fileSize} bytes after the file`);
    tensors.set(name, { dtype, shape, offset: start + from, bytes });
  }
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = start;
  let before: string | undefined;
  for (const [name, { offset, bytes }] of inOrder) {
    if (offset < end) throw damagedFile(path, `the tensors "${before}" and "${name}" overlap`);
    if (offset > end) {
      throw damagedFile(
        path,
        `${offset - end} bytes before the tensor "${name}" belong to none (a name may be there twice)`,
      );
    }
    end = offset + bytes;
    before = name;
  }
  if (end !== fileSize)
    throw damagedFile(path, `${fileSize - end} bytes behind its last tensor belong to none`);
  return { metadata, tensors };
}

/** Whether a type's values are read as floats by `safetensorsFloats`. */
export function isFloat(dtype: SafetensorsType): boolean {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" || dtype === "F64";
}

/** The values of a float tensor as float32 (a view of `bytes` where they are that already). */
export function safetensorsFloats(dtype: SafetensorsType, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const count = aligned.byteLength / safetensorsWidths[dtype];
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case "F16": {
      const out = new Float32Array(count);
      fromHalf(new Uint16Array(buffer, byteOffset, count), out);
      return out;
    }
    case "BF16": {
      // bfloat16 is the upper half of a float32.
      const bits = new Uint32Array(count);
      const halved = new Uint16Array(buffer, byteOffset, count);
      for (let i = 0; i < count; i++) bits[i] = halved[i] << 16;
      return new Float32Array(bits.buffer);
    }
    default:
      throw new RangeError(`tensors of type ${dtype} are no floats`);
  }
}

function isKnown(dtype: string): dtype is SafetensorsType {
  return Object.hasOwn(safetensorsWidths, dtype);
}

function jsonOrUndefined(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text));
  } catch {
    return undefined;
  }
}

/** A tensor to write: its bytes come whole, or piece by piece. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView | AsyncIterable<ArrayBufferView> | (() => AsyncIterable<ArrayBufferView>);
}

/** What a file begins with: the length of its header, and the header. Tensors are in the order given. */
export function safetensorsHead(
  tensors: readonly Pick<TensorToWrite, "name" | "dtype" | "shape">[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  // Without a prototype, so that a tensor may be called "__proto__".
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata });
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const size = safetensorsWidths[dtype] * shape.reduce((product, d) => product * d, 1);
    header[name] = { dtype, shape: [...shape], data_offsets: [offset, offset + size] };
    offset += size;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces up to a multiple of 8, so that every tensor of the file can be viewed in place.
  const padded = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(text, 8);
  return padded;
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

/**
 * A file whose header was read.
 * @param where what errors call it
 * @param bytesOf gives a tensor's bytes
 */
export function safetensorsFile(
  where: string,
  { metadata, tensors }: SafetensorsHeader,
  bytesOf: (name: string, tensor: SafetensorsEntry) => Promise<Uint8Array<ArrayBuffer>>,
  close: () => Promise<void>,
): SafetensorsFile {
  const read = async (name: string, dtype?: SafetensorsType): Promise<Uint8Array<ArrayBuffer>> => {
    const tensor = tensors.get(name);
    if (tensor === undefined || (dtype !== undefined && tensor.dtype !== dtype))
      throw damagedFile(where, `it has no ${dtype === undefined ? "" : `${dtype} `}tensor "${name}"`);
    return bytesOf(name, tensor);
  };
  return {
    metadata,
    tensors,
    float32: async (name) => new Float32Array((await read(name, "F32")).buffer),
    float64: async (name) => new Float64Array((await read(name, "F64")).buffer),
    floats: async (name) => safetensorsFloats(tensors.get(name)?.dtype ?? "F32", await read(name)),
    close,
  };
}
