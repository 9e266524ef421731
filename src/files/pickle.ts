/**
 * Python's pickles (protocols 0 to 5), read as data: dictionaries, lists, texts, numbers, bytes and NumPy arrays of
 * unsigned bytes. Nothing that a pickle names is run; one that names anything else is refused.
 */

/** A NumPy array of unsigned bytes. */
export class ByteArray {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  constructor(shape: readonly number[], bytes: Uint8Array) {
    this.shape = shape;
    this.bytes = bytes;
  }
}

/** What a pickle may hold; keys that are bytes are read as text. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Pickled[]
  | ReadonlyMap<string, Pickled>
  | ByteArray;

/** A name of Python's that a pickle refers to, an object of that name before its state is known, and a mark. */
interface Name {
  readonly python: string;
}
interface Made {
  readonly of: string;
  value?: Value;
}
type Value = null | boolean | number | string | Uint8Array | Value[] | Map<string, Value> | Name | Made;
const mark = Symbol("mark");

/** Deepest nesting, and most values, that are read: values may be shared, and so be more than the file has bytes. */
const mostDepth = 64;
const mostValues = 5_000_000;

/** The value of a pickle. Throws, saying what stands in the way, when it cannot be read as data alone. */
export function readPickle(bytes: Uint8Array): Pickled {
  return plain(new Machine(bytes).run(), 0, { values: 0 });
}

const arrayMakers: ReadonlySet<string> = new Set([
  "numpy.core.multiarray._reconstruct",
  "numpy._core.multiarray._reconstruct",
]);
const bufferMakers: ReadonlySet<string> = new Set([
  "numpy.core.numeric._frombuffer",
  "numpy._core.numeric._frombuffer",
]);
const knownNames: ReadonlySet<string> = new Set([
  ...arrayMakers,
  ...bufferMakers,
  "numpy.ndarray",
  "numpy.dtype",
  "_codecs.encode",
]);

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: (Value | typeof mark)[] = [];
  readonly #memo = new Map<number, Value>();
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Value {
    for (;;) {
      const code = String.fromCharCode(this.#take(1)[0]);
      if (code === ".") return this.#pop();
      this.#step(code);
    }
  }

  #step(code: string): void {
    const stack = this.#stack;
    switch (code) {
      case "\x80": // PROTO
        this.#take(1);
        return;
      case "\x95": // FRAME
        this.#take(8);
        return;
      case "(":
        stack.push(mark);
        return;
      case "0":
        this.#pop();
        return;
      case "1":
        this.#untilMark();
        return;
      case "2":
        stack.push(this.#top());
        return;
      case "N":
        stack.push(null);
        return;
      case "\x88":
      case "\x89":
        stack.push(code === "\x88");
        return;
      case "K":
        stack.push(this.#number(1));
        return;
      case "M":
        stack.push(this.#number(2));
        return;
      case "J":
        stack.push(this.#number(4) | 0);
        return;
      case "I":
      case "L":
      case "F":
        stack.push(this.#textNumber());
        return;
      case "G": {
        const at = this.#at;
        this.#take(8);
        stack.push(this.#view.getFloat64(at));
        return;
      }
      case "\x8a":
        stack.push(this.#longNumber(this.#number(1)));
        return;
      case "U":
      case "C": // SHORT_BINSTRING, SHORT_BINBYTES
        stack.push(this.#take(this.#number(1)));
        return;
      case "T":
      case "B":
        stack.push(this.#take(this.#number(4)));
        return;
      case "\x8e":
      case "\x96": // BINBYTES8, BYTEARRAY8
        stack.push(this.#take(this.#number(8)));
        return;
      case "S":
        stack.push(Buffer.from(unquoted(this.#line()), "latin1"));
        return;
      case "\x8c":
        stack.push(utf8(this.#take(this.#number(1))));
        return;
      case "X":
        stack.push(utf8(this.#take(this.#number(4))));
        return;
      case "\x8d":
        stack.push(utf8(this.#take(this.#number(8))));
        return;
      case "V":
        stack.push(rawUnicode(this.#line()));
        return;
      case "]":
        stack.push([]);
        return;
      case ")":
        stack.push([]);
        return;
      case "}":
        stack.push(new Map());
        return;
      case "l":
      case "t":
        stack.push(this.#untilMark());
        return;
      case "d":
        stack.push(this.#dictionary(new Map(), this.#untilMark()));
        return;
      case "\x85":
      case "\x86":
      case "\x87":
        stack.push(this.#popMany(code.charCodeAt(0) - 0x84));
        return;
      case "a":
        this.#append([this.#pop()]);
        return;
      case "e":
        this.#append(this.#untilMark());
        return;
      case "s":
        this.#set(this.#popMany(2));
        return;
      case "u":
        this.#set(this.#untilMark());
        return;
      case "q":
        this.#memo.set(this.#number(1), this.#top());
        return;
      case "r":
        this.#memo.set(this.#number(4), this.#top());
        return;
      case "p":
        this.#memo.set(Number(this.#line()), this.#top());
        return;
      case "\x94":
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case "h":
        stack.push(this.#remembered(this.#number(1)));
        return;
      case "j":
        stack.push(this.#remembered(this.#number(4)));
        return;
      case "g":
        stack.push(this.#remembered(Number(this.#line())));
        return;
      case "c":
        stack.push(nameOf(this.#line(), this.#line()));
        return;
      case "\x93": {
        const [module, name] = this.#popMany(2);
        stack.push(nameOf(String(module), String(name)));
        return;
      }
      case "R": {
        const [name, given] = this.#popMany(2);
        stack.push(made(name!, given!));
        return;
      }
      case "b": {
        const state = this.#pop();
        give(this.#top(), state);
        return;
      }
      default:
        throw new Error(
          `it has the instruction 0x${code.charCodeAt(0).toString(16)}, which is not read as data`,
        );
    }
  }

  #take(count: number): Uint8Array {
    if (!(count >= 0 && count <= this.#bytes.length - this.#at))
      throw new Error(`it is cut short: ${count} bytes from ${this.#at} of ${this.#bytes.length}`);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** A whole number, the lowest byte first. */
  #number(count: number): number {
    return this.#take(count).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  #longNumber(count: number): number {
    const bytes = this.#take(count);
    const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
    return (bytes.at(-1) ?? 0) >= 128 ? value - 256 ** count : value;
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) throw new Error("it is cut short within a line");
    const line = this.#take(end - this.#at);
    this.#take(1);
    return new TextDecoder("latin1").decode(line);
  }

  #textNumber(): number | boolean {
    const line = this.#line().replace(/L$/, "");
    if (line === "00" || line === "01") return line === "01";
    const value = Number(line);
    if (line.trim() === "" || Number.isNaN(value))
      throw new Error(`it has "${line.slice(0, 20)}" for a number`);
    return value;
  }

  #top(): Value {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw new Error("it takes a value that is not there");
    return value as Value;
  }

  #pop(): Value {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): Value[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #untilMark(): Value[] {
    const start = this.#stack.lastIndexOf(mark);
    if (start < 0) throw new Error("it takes a mark that is not there");
    const values = this.#stack.splice(start);
    return values.slice(1) as Value[];
  }

  #remembered(place: number): Value {
    const value = this.#memo.get(place);
    if (value === undefined) throw new Error(`it takes the value ${place}, which it never kept`);
    return value;
  }

  #append(values: readonly Value[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw new Error("it appends to a value that is not a list");
    for (const value of values) list.push(value);
  }

  #set(pairs: readonly Value[]): void {
    const dictionary = this.#top();
    if (!(dictionary instanceof Map)) throw new Error("it sets a key of a value that is not a dictionary");
    this.#dictionary(dictionary, pairs);
  }

  #dictionary(dictionary: Map<string, Value>, pairs: readonly Value[]): Map<string, Value> {
    for (let i = 0; i + 1 < pairs.length; i += 2) dictionary.set(keyOf(pairs[i]), pairs[i + 1]);
    return dictionary;
  }
}

const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const unquoted = (line: string): string =>
  line.replace(/^(['"])(.*)\1$/s, "$2").replace(/\\(x[0-9a-f]{2}|.)/gi, (_, code: string) => {
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return { n: "\n", r: "\r", t: "\t" }[code] ?? code;
  });

/** Python's raw-unicode-escape. */
const rawUnicode = (line: string): string =>
  line.replace(
    /\\(?:u([0-9a-f]{4})|U(00(?:10|0[0-9a-f])[0-9a-f]{4}))/gi,
    (_, short?: string, long?: string) => String.fromCodePoint(Number.parseInt(short ?? long ?? "", 16)),
  );

function keyOf(value: Value): string {
  if (value instanceof Uint8Array) return new TextDecoder("latin1").decode(value);
  return typeof value === "string" ? value : String(value);
}

function nameOf(module: string, name: string): Name {
  const python = `${module}.${name}`;
  if (!knownNames.has(python))
    throw new Error(`it refers to ${python.slice(0, 80)}, which could run code; only data is read`);
  return { python };
}

function made(name: Value, given: Value): Value {
  const python = (name as Name | null)?.python;
  const values = Array.isArray(given) ? given : [];
  if (python === "_codecs.encode") {
    const [text] = values;
    if (typeof text !== "string") throw new Error("it encodes a value that is not text");
    return Buffer.from(text, "latin1");
  }
  if (python === "numpy.dtype") return { of: "dtype", value: values[0] ?? null };
  if (python !== undefined && arrayMakers.has(python)) return { of: "array" };
  if (python !== undefined && bufferMakers.has(python)) {
    const [bytes, type, shape] = values;
    return { of: "array", value: [shape ?? null, type ?? null, bytes ?? null] };
  }
  throw new Error("it calls what is not known");
}

/** What BUILD gives to an object: an array's version, shape, type, order and bytes. */
function give(object: Value, state: Value): void {
  const target = object as Made | null;
  if (target?.of === "dtype") return;
  if (target?.of !== "array" || !Array.isArray(state) || state.length < 5)
    throw new Error("it gives a state to what has none");
  const [, shape, type, byColumns, bytes] = state;
  if (byColumns === true) throw new Error("its array is stored by columns, which is not read");
  target.value = [shape ?? null, type ?? null, bytes ?? null];
}

function plain(value: Value, depth: number, seen: { values: number }): Pickled {
  if (++seen.values > mostValues) throw new Error(`it holds more than ${mostValues} values`);
  if (depth > mostDepth) throw new Error("it is nested too deeply");
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((inner) => plain(inner, depth + 1, seen));
  if (value instanceof Map)
    return new Map([...value].map(([key, inner]) => [key, plain(inner, depth + 1, seen)]));
  if ("of" in value && value.of === "array" && Array.isArray(value.value)) return arrayOf(value.value);
  throw new Error("it holds an object that is not data");
}

function arrayOf([shape, type, bytes]: readonly Value[]): ByteArray {
  const kind = (type as Made | null)?.value;
  const name = kind instanceof Uint8Array ? utf8(kind) : kind;
  if (name !== "u1") throw new Error(`its array is of ${String(name)}; unsigned bytes (u1) are read`);
  const sides = Array.isArray(shape) ? shape.map(Number) : [];
  const count = sides.reduce((product, side) => product * side, 1);
  if (!(bytes instanceof Uint8Array) || bytes.length !== count)
    throw new Error(`its array says to be ${sides.join(" × ")}, and has other bytes`);
  return new ByteArray(sides, bytes);
}
