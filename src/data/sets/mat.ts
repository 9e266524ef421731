/**
 * MATLAB's MAT-files, level 5 ("MAT-File Format", The MathWorks): what data sets keep their lists in. Read are
 * numeric, character, cell and struct arrays, compressed or not, of either byte order.
 */
import { inflateSync } from "node:zlib";
import { DataError, messageOf } from "../../errors.ts";
import { readBounded } from "../../files/read-bounded.ts";

/** An array; elements in MATLAB's order, columns first. */
export type MatArray =
  | { readonly kind: "numbers"; readonly dims: readonly number[]; readonly numbers: Float64Array }
  | { readonly kind: "text"; readonly dims: readonly number[]; readonly text: string }
  | { readonly kind: "cells"; readonly dims: readonly number[]; readonly cells: readonly MatArray[] }
  | {
      readonly kind: "structs";
      readonly dims: readonly number[];
      readonly structs: readonly ReadonlyMap<string, MatArray>[];
    };

const headerBytes = 128;
/**
 * More than any list of a data set needs, of the file and of all that is unpacked from it: a compressed element may
 * claim anything, and an array of eight bytes takes some 300 in memory.
 */
const mostBytes = 16 * 2 ** 20;
const mostDepth = 16;

const compressed = 15;
const matrixType = 14;
/** Bytes of a number by data type. */
const sizes: Readonly<Record<number, number>> = {
  1: 1,
  2: 1,
  3: 2,
  4: 2,
  5: 4,
  6: 4,
  7: 4,
  9: 8,
  12: 8,
  13: 8,
  16: 1,
  17: 2,
  18: 4,
};

/** The variables of a MAT-file. Throws DataError when it cannot be read, is truncated or of another version. */
export async function readMat(path: string): Promise<Map<string, MatArray>> {
  try {
    const bytes = await readBounded(path, mostBytes, requireMat);
    return parseMat(bytes);
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}. Download it again.`, { cause });
  }
}

/** Throws where a file's first bytes are not those of a MAT-file of level 5; says which byte order it has. */
function requireMat(bytes: Uint8Array): { little: boolean } {
  if (bytes.length < headerBytes) throw new Error(`it has ${bytes.length} bytes, a MAT-file at least 128`);
  const mark = String.fromCharCode(bytes[126], bytes[127]);
  const little = mark === "IM";
  if (!little && mark !== "MI")
    throw new Error("it is not a MAT-file (level 5): its byte order mark is wrong");
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint16(124, little);
  if (version !== 0x0100) {
    throw new Error(
      "it is a MAT-file of version 7.3, which is HDF5; only level 5 is read. Save it again with -v7",
    );
  }
  return { little };
}

/** The variables of a MAT-file's bytes. Throws when they are not one. */
function parseMat(bytes: Uint8Array): Map<string, MatArray> {
  const { little } = requireMat(bytes);
  const variables = new Map<string, MatArray>();
  let left = mostBytes;
  const unpack = (data: Uint8Array): Uint8Array => {
    try {
      const unpacked = inflateSync(data, { maxOutputLength: Math.max(1, left) });
      left -= unpacked.length;
      return unpacked;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE") throw cause;
      throw new Error(`it unpacks to more than ${mostBytes} bytes`, { cause });
    }
  };
  for (const element of elementsOf(bytes.subarray(headerBytes), little)) {
    const inner = element.type === compressed ? [...elementsOf(unpack(element.data), little)] : [element];
    for (const { type, data } of inner) {
      if (type !== matrixType) continue;
      const variable = arrayOf(data, little, 0);
      if (variable) variables.set(variable.name, variable.array);
    }
  }
  return variables;
}

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

function* elementsOf(bytes: Uint8Array, little: boolean): Generator<Element> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const first = view.getUint32(at, little);
    // Small elements have their number of bytes in the upper half of the tag, and up to 4 bytes behind it.
    const small = first >>> 16;
    const type = small > 0 ? first & 0xffff : first;
    const length = small > 0 ? small : view.getUint32(at + 4, little);
    const start = at + (small > 0 ? 4 : 8);
    if (length > bytes.length - start || (small > 0 && small > 4)) {
      throw new Error(`it is truncated: an element of ${length} bytes has ${bytes.length - start}`);
    }
    yield { type, data: bytes.subarray(start, start + length) };
    at = small > 0 ? at + 8 : start + (type === compressed ? length : Math.ceil(length / 8) * 8);
  }
}

function arrayOf(
  bytes: Uint8Array,
  little: boolean,
  depth: number,
): { name: string; array: MatArray } | undefined {
  if (depth > mostDepth) throw new Error("its arrays are nested too deeply");
  // An empty element stands for an empty array.
  if (bytes.length === 0)
    return { name: "", array: { kind: "numbers", dims: [0, 0], numbers: new Float64Array() } };
  const elements = elementsOf(bytes, little);
  const next = (): Element => {
    const { value, done } = elements.next();
    if (done) throw new Error("it is truncated within an array");
    return value;
  };
  const flags = numbersOf(next(), little)[0];
  const dims = [...numbersOf(next(), little)];
  const name = textOf(next(), little);
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (!Number.isInteger(count) || dims.some((dim) => dim < 0) || count > mostBytes) {
    throw new Error(`its array ${name} says to be ${dims.join(" × ")}`);
  }
  const arrayClass = flags & 0xff;
  // Every element takes bytes: a damaged count must not be counted to.
  if ((arrayClass === 1 || arrayClass === 2) && count > bytes.length / 8) {
    throw new Error(`it is truncated: its array ${name} has ${count} elements in ${bytes.length} bytes`);
  }
  const nested = (): MatArray => {
    const { type, data } = next();
    const value = type === matrixType ? arrayOf(data, little, depth + 1) : undefined;
    if (value === undefined) throw new Error(`its array ${name} holds what cannot be read (type ${type})`);
    return value.array;
  };
  if (arrayClass === 1) {
    const cells: MatArray[] = [];
    for (let i = 0; i < count; i++) cells.push(nested());
    return { name, array: { kind: "cells", dims, cells } };
  }
  if (arrayClass === 2) {
    const width = numbersOf(next(), little)[0];
    const packed = textOf(next(), little);
    if (!(width > 0)) throw new Error(`its struct array ${name} has field names of ${width} bytes`);
    const fields = Array.from({ length: Math.floor(packed.length / width) }, (_, i) =>
      packed.slice(i * width, (i + 1) * width).replace(/\0.*$/s, ""),
    );
    const structs: Map<string, MatArray>[] = [];
    for (let i = 0; i < count; i++) structs.push(new Map(fields.map((field) => [field, nested()])));
    return { name, array: { kind: "structs", dims, structs } };
  }
  if (arrayClass === 4) return { name, array: { kind: "text", dims, text: textOf(next(), little) } };
  // Objects, sparse matrices and functions have other contents: passed over.
  if (arrayClass < 6 || arrayClass > 15) return undefined;
  const numbers = numbersOf(next(), little);
  if (numbers.length !== count)
    throw new Error(`its array ${name} has ${numbers.length} numbers, not ${count}`);
  return { name, array: { kind: "numbers", dims, numbers } };
}

function numbersOf({ type, data }: Element, little: boolean): Float64Array {
  const size = sizes[type];
  if (size === undefined || data.length % size !== 0) {
    throw new Error(`it has ${data.length} bytes of numbers of the unknown type ${type}`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Float64Array.from({ length: data.length / size }, (_, i) => {
    const at = i * size;
    switch (type) {
      case 1:
        return view.getInt8(at);
      case 3:
        return view.getInt16(at, little);
      case 4:
      case 17:
        return view.getUint16(at, little);
      case 5:
        return view.getInt32(at, little);
      case 6:
      case 18:
        return view.getUint32(at, little);
      case 7:
        return view.getFloat32(at, little);
      case 9:
        return view.getFloat64(at, little);
      case 12:
        return Number(view.getBigInt64(at, little));
      case 13:
        return Number(view.getBigUint64(at, little));
      default:
        return view.getUint8(at);
    }
  });
}

function textOf(element: Element, little: boolean): string {
  if (element.type === 16) return new TextDecoder().decode(element.data);
  let text = "";
  for (const code of numbersOf(element, little)) text += String.fromCodePoint(code);
  return text;
}

/** The numbers of a variable. Throws DataError when there is none of that name, or it holds something else. */
export function matNumbers(
  variables: ReadonlyMap<string, MatArray>,
  name: string,
  file: string,
): Float64Array {
  const found = variables.get(name);
  if (found?.kind === "numbers") return found.numbers;
  throw new DataError(
    `${file} must hold the numbers "${name}"; it has ${[...variables.keys()].join(", ") || "nothing"}.`,
  );
}

/** The texts of a cell array. Throws DataError when there is none of that name, or it holds something else. */
export function matTexts(variables: ReadonlyMap<string, MatArray>, name: string, file: string): string[] {
  const found = variables.get(name);
  const texts =
    found?.kind === "cells"
      ? found.cells.flatMap((cell) => (cell.kind === "text" ? [cell.text] : []))
      : undefined;
  if (texts !== undefined && found?.kind === "cells" && texts.length === found.cells.length) return texts;
  throw new DataError(
    `${file} must hold the texts "${name}"; it has ${[...variables.keys()].join(", ") || "nothing"}.`,
  );
}
