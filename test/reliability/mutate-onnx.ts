import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import type { Random } from "../../src/random.ts";
import { bytesMutator, edges, type Mutator } from "./mutate.ts";

/** Sizes, axes and types that models have, and some that none has. */
const numbers = [-1, 0, 1, 2, 3, 4, 7, 8, 16, 255, 1024, 65536, 2 ** 31 - 1, -(2 ** 31)];

/** A field of a message, or an element of one of its lists. */
interface Place {
  readonly holder: Record<string | number, unknown>;
  readonly key: string | number;
}

/**
 * An ONNX model with fields changed and written again: names exchanged, operators renamed, sizes and attributes at edges,
 * nodes, weights and attributes left out, doubled and moved. Now and then its bytes are changed instead.
 */
export const onnxMutator: Mutator = (bytes, random) => {
  if (random.below(5) === 0) return bytesMutator(bytes, random);
  try {
    const model = fromBinary(ModelProtoSchema, bytes);
    const { places, texts } = partsOf(model);
    for (let count = 1 + random.below(3); count > 0; count--) {
      const { holder, key } = places[random.below(places.length)]!;
      const value = holder[key];
      if (Array.isArray(value)) changeList(value, random);
      else holder[key] = changed(value, random, texts);
    }
    return toBinary(ModelProtoSchema, model);
  } catch {
    // A corpus of what is not a model, or a value that its field cannot hold.
    return bytesMutator(bytes, random);
  }
};

/** Every field and list of a message, and the texts in it. */
function partsOf(model: object): { places: Place[]; texts: string[] } {
  const places: Place[] = [];
  const texts: string[] = [];
  const visit = (holder: Record<string | number, unknown>) => {
    for (const [name, value] of Object.entries(holder)) {
      if (name.startsWith("$") || name === "case" || value === undefined) continue;
      const key = Array.isArray(holder) ? Number(name) : name;
      if (typeof value === "string") texts.push(value);
      const isMessage = typeof value === "object" && value !== null && !(value instanceof Uint8Array);
      if (!isMessage || Array.isArray(value)) places.push({ holder, key });
      if (isMessage) visit(value as Record<string | number, unknown>);
    }
  };
  visit(model as Record<string, unknown>);
  return { places, texts };
}

function changeList(list: unknown[], random: Random): void {
  if (list.length === 0) return;
  const [at, other] = [random.below(list.length), random.below(list.length)];
  switch (random.below(3)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(other, 0, list[at]);
      break;
    default:
      [list[at], list[other]] = [list[other], list[at]];
  }
}

/** A value of the same type. */
function changed(value: unknown, random: Random, texts: readonly string[]): unknown {
  const number = () => numbers[random.below(numbers.length)]!;
  switch (typeof value) {
    case "bigint":
      return random.below(2) === 0 ? BigInt.asIntN(64, edges[random.below(edges.length)]!) : BigInt(number());
    case "number":
      return number();
    case "boolean":
      return !value;
    case "string":
      return random.below(8) === 0 ? "" : texts[random.below(texts.length)];
    default:
      return value instanceof Uint8Array && value.length > 0 ? bytesMutator(value, random) : value;
  }
}
