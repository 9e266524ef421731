/**
 * What a parquet file says of its own sizes, held against its bytes before a reader makes room for it: a file of a
 * kilobyte can claim four thousand million rows (Apache Parquet format 2.11, `parquet.thrift`).
 */
import type { AsyncBuffer, ColumnMetaData, Compressors, FileMetaData } from "hyparquet";
import {
  type RunColumn,
  type RunPage,
  requireSaneLevels,
  requireSaneRuns,
  runColumns,
} from "./parquet-runs.ts";

/** No compression that is read shrinks images or labels further than deflate can: 1032 to 1. */
const mostRatio = 1100;
/** What a page may have in any case: short pages of equal labels shrink to nearly nothing. */
const allowedBytes = 64 * 2 ** 20;

/** Throws when the footer's numbers cannot be those of a file of `size` bytes. */
export function requireSaneFooter(metadata: FileMetaData, size: number): void {
  // Every image takes a byte at least.
  const most = BigInt(size);
  const known = runColumns(metadata);
  let rows = 0n;
  for (const [i, group] of metadata.row_groups.entries()) {
    rows += require(BigInt(group.num_rows), most, `row group ${i} says to have`, "rows", size);
    for (const { meta_data: column } of group.columns) {
      if (column === undefined) continue;
      // The format's reader would notice after it has begun to read other columns, for which then nobody waits.
      const path = column.path_in_schema.join(".");
      if (!known.has(path)) throw new Error(`row group ${i} has a column "${path}", which its schema lacks`);
      require(BigInt(column.num_values), most *
        8n, `row group ${i} says to have`, "values in a column", size);
      const { start, end } = rangeOf(column);
      if (!(start >= 0 && end >= start && end <= size))
        throw new Error(`row group ${i} has a column at bytes ${start} to ${end} of ${size}`);
    }
  }
  if (rows !== BigInt(metadata.num_rows))
    throw new Error(`it says to have ${metadata.num_rows} rows, its row groups have ${rows}`);
}

function require(count: bigint, most: bigint, what: string, unit: string, size: number): bigint {
  if (count >= 0n && count <= most) return count;
  throw new Error(`${what} ${count} ${unit} in a file of ${size} bytes`);
}

/** Where a column's pages are: those of its dictionary first. */
function rangeOf(column: ColumnMetaData): { start: number; end: number } {
  const data = Number(column.data_page_offset);
  const dictionary = Number(column.dictionary_page_offset ?? 0);
  const start = dictionary > 0 ? Math.min(dictionary, data) : data;
  return { start, end: start + Number(column.total_compressed_size) };
}

/** A file as the format's reader takes it, and what the reader unpacks its pages with. */
export interface CheckedPages {
  readonly file: AsyncBuffer;
  readonly compressors: Compressors;
}

/**
 * A file of which every column that is read has had its pages' headers and runs looked at before. Pages that were unpacked for
 * that are not unpacked again: they are kept until they are read, so that each reading has its own `CheckedPages`.
 */
export function checkedPages(
  file: AsyncBuffer,
  metadata: FileMetaData,
  compressors: Compressors,
): CheckedPages {
  const runs = runColumns(metadata);
  const kept = new KeptPages();
  const columns = metadata.row_groups.flatMap((group) =>
    group.columns.flatMap(({ meta_data: column }) =>
      column === undefined
        ? []
        : [
            {
              ...rangeOf(column),
              values: Number(column.num_values),
              run: runs.get(column.path_in_schema.join(".")),
              unpack: kept.keeping(compressors[column.codec]),
            },
          ],
    ),
  );
  const checked = async (start: number, end: number) => {
    const bytes = await file.slice(start, end);
    for (const column of columns) {
      if (column.start < start || column.end > end) continue;
      requireSanePages(new Uint8Array(bytes, column.start - start, column.end - column.start), column);
    }
    return bytes;
  };
  const checkedFile: AsyncBuffer = {
    byteLength: file.byteLength,
    slice(start, end = file.byteLength) {
      const bytes = checked(start, end);
      // The format's reader asks for several pieces and gives up at the first that fails: the others' errors are nobody's, and
      // would end the process.
      bytes.catch(() => undefined);
      return bytes;
    },
  };
  return { file: checkedFile, compressors: kept.taking(compressors) };
}

/**
 * Pages that were unpacked. They are known by their packed bytes, since the format's reader may have copied those; what is not
 * found is unpacked again.
 */
class KeptPages {
  /** By the number of packed bytes, in the order in which columns are read, too. */
  readonly #pages = new Map<number, { readonly packed: Uint8Array; readonly unpacked: Uint8Array }[]>();

  /** Unpacks and keeps what comes of it; gives back what is not packed, or in a codec that the format's reader refuses. */
  keeping(unpack: Unpack | undefined): Unpack {
    if (unpack === undefined) return (bytes) => bytes;
    return (packed, length) => {
      const unpacked = unpack(packed, length);
      const pages = this.#pages.get(packed.length);
      if (pages === undefined) this.#pages.set(packed.length, [{ packed, unpacked }]);
      else pages.push({ packed, unpacked });
      return unpacked;
    };
  }

  /** The same decompressors, but for pages that are kept: each is given once. */
  taking(compressors: Compressors): Compressors {
    return Object.fromEntries(
      Object.entries(compressors).map(([codec, unpack]) => [
        codec,
        (packed: Uint8Array, length: number) => this.#take(packed, length) ?? unpack(packed, length),
      ]),
    );
  }

  #take(packed: Uint8Array, length: number): Uint8Array | undefined {
    const pages = this.#pages.get(packed.length);
    const first = pages?.[0];
    if (first?.unpacked.length !== length || Buffer.compare(first.packed, packed) !== 0) return undefined;
    pages!.shift();
    return first.unpacked;
  }
}

/** Walks the pages of a column's bytes. Throws where one claims more values than the column or more bytes than it can have. */
function requireSanePages(bytes: Uint8Array, { values, run, unpack }: PagedColumn): void {
  const reader = { bytes, at: 0 };
  // The format's own readers stop a byte before the end.
  while (reader.at < bytes.length - 1) {
    const page = readStruct(reader, 0);
    const [unpacked, packed] = [page.get("2") ?? 0, page.get("3") ?? 0];
    if (packed < 0 || packed > bytes.length - reader.at)
      throw new Error(`a page says to have ${packed} bytes, ${bytes.length - reader.at} are there`);
    requireRatio(packed, unpacked);
    for (const field of ["5.1", "7.1", "8.1", "8.3"]) {
      const count = page.get(field) ?? 0;
      if (count < 0 || count > values)
        throw new Error(`a page says to have ${count} values, its column has ${values}`);
    }
    if (run !== undefined) {
      const body = bytes.subarray(reader.at, reader.at + packed);
      requireSaneBody(body, page, run, unpack);
    }
    reader.at += packed;
  }
}

/** Bytes of a page unpacked to a length. */
type Unpack = (bytes: Uint8Array, length: number) => Uint8Array;

interface PagedColumn {
  readonly values: number;
  readonly run: RunColumn | undefined;
  readonly unpack: Unpack;
}

/** Throws where a run in a page's bytes repeats more than the page has. */
function requireSaneBody(
  body: Uint8Array,
  page: ReadonlyMap<string, number>,
  column: RunColumn,
  unpack: Unpack,
): void {
  const number = (field: string) => page.get(field) ?? 0;
  const unpacked = number("2");
  if (page.has("5.1")) {
    const own: RunPage = { values: number("5.1"), encoding: number("5.2") };
    requireSaneRuns(unpack(body, unpacked), own, column);
  } else if (page.has("8.1")) {
    const levelBytes = [number("8.6"), number("8.5")] as const;
    const own: RunPage = { values: number("8.1"), encoding: number("8.4"), levelBytes };
    requireSaneLevels(body, own, column);
    const start = levelBytes[0] + levelBytes[1];
    const rest = body.subarray(start);
    requireSaneRuns(page.get("8.7") === 0 ? rest : unpack(rest, unpacked - start), own, column);
  }
}

/** Throws where `packed` bytes say to unpack to more than they can. */
function requireRatio(packed: number, unpacked: number): void {
  if (unpacked >= 0 && unpacked <= Math.max(allowedBytes, mostRatio * packed)) return;
  throw new Error(`a page of ${packed} bytes says to unpack to ${unpacked}`);
}

/** Decompressors that give exactly as many bytes as a page says to have. */
export function exactly(compressors: Compressors): Compressors {
  return Object.fromEntries(
    Object.entries(compressors).map(([codec, unpack]) => [
      codec,
      (input: Uint8Array, length: number) => {
        requireRatio(input.length, length);
        const output = unpack(input, length);
        if (output.length !== length)
          throw new Error(`a page unpacks to ${output.length} bytes, not ${length}`);
        return output;
      },
    ]),
  );
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * Thrift's compact protocol: the whole numbers of a structure by path of field numbers ("5.1"), everything else passed
 * over.
 */
function readStruct(reader: Reader, depth: number, prefix = "", out = new Map<string, number>()) {
  if (depth > 16) throw new Error("a page's header is nested too deeply");
  let field = 0;
  for (;;) {
    const head = byteOf(reader);
    const type = head & 0xf;
    if (type === 0) return out;
    field = head >> 4 === 0 ? zigzag(varint(reader)) : field + (head >> 4);
    readValue(reader, type, depth, `${prefix}${field}`, out);
  }
}

function readValue(
  reader: Reader,
  type: number,
  depth: number,
  path: string,
  out: Map<string, number>,
): void {
  switch (type) {
    case 1:
    case 2:
      out.set(path, type === 1 ? 1 : 0);
      return;
    case 3:
      reader.at += 1;
      return;
    case 4:
    case 5:
    case 6:
      out.set(path, zigzag(varint(reader)));
      return;
    case 7:
      reader.at += 8;
      return;
    case 8: {
      const length = varint(reader);
      reader.at += length;
      return;
    }
    case 9:
    case 10: {
      const head = byteOf(reader);
      const count = head >> 4 === 15 ? varint(reader) : head >> 4;
      for (let i = 0; i < count; i++) {
        // Booleans in lists take a byte.
        if ((head & 0xf) <= 2) reader.at += 1;
        else readValue(reader, head & 0xf, depth + 1, `${path}[]`, out);
        if (reader.at > reader.bytes.length) throw new Error("it ends within a page's header");
      }
      return;
    }
    case 12:
      readStruct(reader, depth + 1, `${path}.`, out);
      return;
    default:
      throw new Error(`a page's header has a field of the unknown type ${type}`);
  }
}

function byteOf(reader: Reader): number {
  const byte = reader.bytes[reader.at++];
  if (byte === undefined) throw new Error("it ends within a page's header");
  return byte;
}

function varint(reader: Reader): number {
  let value = 0;
  for (let scale = 1; scale < 2 ** 63; scale *= 128) {
    const byte = byteOf(reader);
    value += (byte & 0x7f) * scale;
    if (byte < 128) return value;
  }
  throw new Error("a page's header has a number that is too long");
}

const zigzag = (n: number): number => (n % 2 === 0 ? n / 2 : -(n + 1) / 2);
