import { deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import fc from "fast-check";
import type { Random } from "../../src/random.ts";

/** Changes bytes in a way that their format still has a chance to be read. */
export type Mutator = (bytes: Uint8Array, random: Random) => Uint8Array;

/** Where programs go wrong: the edges of integers. */
export const edges = [
  ...[0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn],
  ...[2n ** 40n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n],
];

/** Changes of bytes whatever they mean: flipped bits, edges of integers, pieces cut, doubled and moved, a cut end. */
export const bytesMutator: Mutator = (bytes, random) => {
  let out = Uint8Array.from(bytes);
  for (let count = 1 + random.below(4); count > 0 && out.length > 0; count--) {
    const at = random.below(out.length);
    const length = 1 + random.below(Math.min(64, out.length - at));
    switch (random.below(7)) {
      case 0:
        out[at] ^= 1 << random.below(8);
        break;
      case 1:
        out[at] = random.below(256);
        break;
      case 2: {
        const value = edges[random.below(edges.length)]!;
        const width = [1, 2, 4, 8][random.below(4)]!;
        const little = random.below(2) === 0;
        for (let i = 0; i < width && at + i < out.length; i++) {
          const shift = BigInt(8 * (little ? i : width - 1 - i));
          out[at + i] = Number((value >> shift) & 0xffn);
        }
        break;
      }
      case 3:
        out = joined(out.subarray(0, at), out.subarray(at + length));
        break;
      case 4:
        out = joined(out.subarray(0, at + length), out.subarray(at, at + length), out.subarray(at + length));
        break;
      case 5:
        out.copyWithin(random.below(out.length), at, at + length);
        break;
      default:
        // Rarely: most of what is cut short is refused for that alone.
        if (random.below(8) === 0) out = out.slice(0, at);
    }
  }
  return out;
};

/** JSON with a value replaced, left out or doubled; now and then its bytes are changed instead. */
export const jsonMutator: Mutator = (bytes, random) => {
  if (random.below(5) === 0) return bytesMutator(bytes, random);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return bytesMutator(bytes, random);
  }
  for (let count = 1 + random.below(3); count > 0; count--) {
    const places = placesIn(value);
    if (places.length === 0) break;
    const { holder, key } = places[random.below(places.length)]!;
    if (random.below(6) === 0) delete holder[key];
    else holder[key] = odd(random, holder[key]);
  }
  return new TextEncoder().encode(JSON.stringify(value));
};

/** Text with a word or number replaced, a line doubled or left out. */
export const textMutator: Mutator = (bytes, random) => {
  if (random.below(4) === 0) return bytesMutator(bytes, random);
  const words = new TextDecoder().decode(bytes).split(/(\s+|[:,[\]{}])/);
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(words.length);
    const other = words[random.below(words.length)]!;
    words[at] = [other, JSON.stringify(odd(random, words[at])) ?? "", `${words[at]}${other}`, ""][
      random.below(4)
    ]!;
  }
  return new TextEncoder().encode(words.join(""));
};

/** The header of a safetensors file changed as JSON, with its length put right; else bytes. */
export const safetensorsMutator: Mutator = (bytes, random) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (length === 0 || length > bytes.length - 8 || random.below(3) === 0) return bytesMutator(bytes, random);
  const header = jsonMutator(bytes.subarray(8, 8 + length), random);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(header.length), true);
  return joined(size, header, bytes.subarray(8 + length));
};

/** What a gzip stream holds changed, and packed again; else bytes. */
export const gzipMutator: Mutator = (bytes, random) => {
  if (bytes[0] !== 0x1f || random.below(4) === 0) return bytesMutator(bytes, random);
  return new Uint8Array(gzipSync(bytesMutator(gunzipSync(bytes), random)));
};

/** A tar archive whose headers still have the right check sum. */
export const tarMutator: Mutator = (bytes, random) => {
  const out = Uint8Array.from(bytesMutator(bytes, random));
  for (let at = 0; at + 512 <= out.length; at += 512) {
    if (new TextDecoder().decode(out.subarray(at + 257, at + 262)) !== "ustar") continue;
    out.fill(0x20, at + 148, at + 156);
    const sum = out.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    out.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
  }
  return out;
};

/** What the compressed elements of a MAT-file hold changed, and packed again; else bytes. */
export const matMutator: Mutator = (bytes, random) => {
  if (bytes.length < 136 || random.below(4) === 0) return bytesMutator(bytes, random);
  const parts = [bytes.subarray(0, 128)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 128; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const body = bytes.subarray(at + 8, at + 8 + length);
    const compressed = view.getUint32(at, true) === 15;
    const changed = compressed
      ? deflateSync(bytesMutator(inflateSync(body), random))
      : bytesMutator(body, random);
    const head = Uint8Array.from(bytes.subarray(at, at + 8));
    new DataView(head.buffer).setUint32(4, changed.length, true);
    parts.push(head, changed);
    at += 8 + length;
  }
  return joined(...parts);
};

/** The footer of a parquet file changed, with its length put right; else bytes. */
export const parquetMutator: Mutator = (bytes, random) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 12 ? 0 : view.getUint32(bytes.length - 8, true);
  if (length === 0 || length > bytes.length - 8 || random.below(2) === 0) return bytesMutator(bytes, random);
  const start = bytes.length - 8 - length;
  const footer = bytesMutator(bytes.subarray(start, start + length), random);
  const end = Uint8Array.from(bytes.subarray(bytes.length - 8));
  new DataView(end.buffer).setUint32(0, footer.length, true);
  return joined(bytes.subarray(0, start), footer, end);
};

/** A value of another kind, or of the same at an edge. */
function odd(random: Random, value: unknown): unknown {
  switch (random.below(4)) {
    case 0:
      return Number(edges[random.below(edges.length)]) * (random.below(2) === 0 ? 1 : -1);
    case 1:
      return ["", "__proto__", "constructor", "../x", "\u0000", "\u001b[31m", "a".repeat(5000)][
        random.below(7)
      ];
    case 2:
      return [value, structuredClone(value)];
    default:
      // A value of its own: a later change is in it.
      return structuredClone(anything[random.below(anything.length)]);
  }
}

/** Values of any kind, the same ones always: making one takes longer than reading most inputs. */
const anything = fc.sample(fc.jsonValue({ maxDepth: 2 }), { numRuns: 2000, seed: 1 });

type Holder = Record<string, unknown>;

/** Every value inside of a value, with what it is in. */
function placesIn(value: unknown): { holder: Holder; key: string }[] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Holder;
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...placesIn(holder[key])]);
}

/** Several files as one input: each with its length before it. */
export function packed(...parts: readonly Uint8Array[]): Uint8Array {
  return joined(
    ...parts.flatMap((part) => {
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, part.length, true);
      return [length, part];
    }),
  );
}

/** The files of `packed`; what a shorter input lacks is empty. */
export function unpacked(bytes: Uint8Array, count: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return Array.from({ length: count }, () => {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : 0;
    const part = bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return part;
  });
}

/** Changes one of the files of `packed`, each in its own way. */
export const filesMutator =
  (...mutators: readonly Mutator[]): Mutator =>
  (bytes, random) => {
    const parts = unpacked(bytes, mutators.length);
    const at = random.below(parts.length);
    parts[at] = mutators[at]!(parts[at]!, random);
    return packed(...parts);
  };

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
