/**
 * How often the runs of a parquet page say to repeat a value, held against the values that the page has: the format's reader
 * writes as many as a run says, which in five bytes can be a thousand million (Apache Parquet format 2.11, `Encodings.md`).
 */
import type { FileMetaData } from "hyparquet";

/** What a column's pages are read with. */
export interface RunColumn {
  readonly maxRepetition: number;
  readonly maxDefinition: number;
  readonly isBoolean: boolean;
}

/** Columns by their path, parts joined by dots. */
export function runColumns({ schema }: Pick<FileMetaData, "schema">): ReadonlyMap<string, RunColumn> {
  const columns = new Map<string, RunColumn>();
  let at = 1;
  const visit = (path: string, maxRepetition: number, maxDefinition: number, depth: number): void => {
    const element = schema[at++];
    if (element === undefined || depth > 64) return;
    const { name, repetition_type: repetition, num_children: children = 0, type } = element;
    const own = path === "" ? name : `${path}.${name}`;
    const levels = [
      maxRepetition + (repetition === "REPEATED" ? 1 : 0),
      maxDefinition + (repetition === "REQUIRED" ? 0 : 1),
    ] as const;
    if (children > 0)
      for (let i = 0; i < children && at < schema.length; i++) visit(own, ...levels, depth + 1);
    else
      columns.set(own, { maxRepetition: levels[0], maxDefinition: levels[1], isBoolean: type === "BOOLEAN" });
  };
  while (at < schema.length) visit("", 0, 0, 0);
  return columns;
}

/** A data page: what its header says, and its bytes unpacked. */
export interface RunPage {
  readonly values: number;
  readonly encoding: number;
  /** Bytes of the levels of a page of version 2, whose levels are not packed; undefined for version 1. */
  readonly levelBytes?: readonly [repetition: number, definition: number];
}

const dictionaryEncodings: readonly number[] = [2, 8];
const runEncoding = 3;
/** The last run of a page may be filled up. */
const slack = 1024;

const widthOf = (level: number): number => 32 - Math.clz32(level);

/** Throws where a run of the levels of a page of version 2 repeats more than there is. */
export function requireSaneLevels(
  bytes: Uint8Array,
  { values, levelBytes }: RunPage,
  column: RunColumn,
): void {
  const [repetition, definition] = levelBytes!;
  const { maxRepetition, maxDefinition } = column;
  if (maxRepetition > 0) requireRuns(bytes.subarray(0, repetition), widthOf(maxRepetition), values);
  if (maxDefinition > 0) {
    requireRuns(bytes.subarray(repetition, repetition + definition), widthOf(maxDefinition), values);
  }
}

/** Throws where a run of a page's unpacked bytes, its levels before them in version 1, repeats more than there is. */
export function requireSaneRuns(
  bytes: Uint8Array,
  { values, encoding, levelBytes }: RunPage,
  { maxRepetition, maxDefinition, isBoolean }: RunColumn,
): void {
  let rest = bytes;
  const prefixed = (width: number) => {
    if (rest.length < 4) return;
    const length = new DataView(rest.buffer, rest.byteOffset, 4).getUint32(0, true);
    requireRuns(rest.subarray(4, 4 + length), width, values);
    rest = rest.subarray(4 + length);
  };
  if (levelBytes === undefined) {
    for (const level of [maxRepetition, maxDefinition]) if (level > 0) prefixed(widthOf(level));
  }
  const isDictionary = dictionaryEncodings.includes(encoding);
  if (isBoolean && (isDictionary || encoding === runEncoding)) prefixed(1);
  else if (isDictionary && rest.length > 0) requireRuns(rest.subarray(1), rest[0]!, values);
}

function requireRuns(bytes: Uint8Array, width: number, values: number): void {
  let at = 0;
  for (let seen = 0; seen < values && at < bytes.length; ) {
    let header = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++]!;
      header += (byte & 0x7f) * scale;
      if (byte < 128) break;
    }
    const packed = header % 2 === 1;
    const count = packed ? 8 * ((header - 1) / 2) : header / 2;
    if (count > values - seen + slack)
      throw new Error(`a run of a page repeats ${count} times, and the page has ${values} values`);
    seen += count;
    at += packed ? Math.max(1, (count / 8) * width) : (width + 7) >> 3;
  }
}
