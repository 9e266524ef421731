import type { Tensor } from "onnxruntime-common";
import { type DataType, type Graph, sizeOf, standardNode } from "../graph/ir.ts";
import type { Feeds, Fetches, OutputType } from "../graph/runtime.ts";
import * as ort from "./binding.ts";

/**
 * Outputs without a copy. The binding (onnxruntime-node 1.30) copies every output of a run into a new array, also those
 * that were written into a tensor of the caller's: with the fresh pages that takes about 0.7 ms a megabyte, a fifth of
 * a Vision Transformer's step (docs/notes/performance.md). It does so after the run, in the order of the outputs, and stops
 * with an error at one that it has no array for. Therefore each graph has an empty sequence as its first output. A run
 * whose other outputs are all given asks for it too, and that error says that they are written.
 */
const sentinel = "all outputs are written";

/** Elements from which on a copy takes longer than the error: 15 µs. */
const leastSize = 2 ** 13;

/** How the binding refuses a sequence. */
const refusal = "Non tensor type is temporarily not supported";

/** First operator set with sequences. */
const sequencesFrom = 11;

/** The graph with the sequence, which is to be the first of the outputs; none where its operator set is too old. */
export function withSentinel(graph: Graph): { graph: Graph; first: readonly string[] } {
  if (graph.opset < sequencesFrom) return { graph, first: [] };
  const node = standardNode("SequenceEmpty", [], sentinel);
  return { graph: { ...graph, nodes: [node, ...graph.nodes] }, first: [sentinel] };
}

/** The outputs of a session, without copies where that can be had. */
export class SessionOutputs {
  readonly names: readonly string[];
  readonly types: ReadonlyMap<string, OutputType>;
  private readonly session: ort.InferenceSession;
  private readonly hasSentinel: boolean;
  /**
   * Whether ONNX Runtime writes an output into a given tensor, once that is known. It does not, and says nothing, where
   * the output is an input or a constant after its optimizations; and it fails where it infers a wrong shape.
   */
  private readonly writes = new Map<string, boolean>();

  constructor(session: ort.InferenceSession) {
    this.session = session;
    this.hasSentinel = session.outputNames[0] === sentinel;
    this.names = session.outputNames.filter((name) => name !== sentinel);
    this.types = new Map(
      session.outputMetadata.flatMap((o) =>
        o.isTensor ? [[o.name, { dtype: o.type as DataType, dims: o.shape }] as const] : [],
      ),
    );
  }

  /** Runs for the outputs `names`; the values of those in `into` are written there. */
  async run(feeds: Feeds, names: readonly string[], into: Fetches = {}): Promise<Record<string, Tensor>> {
    const types = names.map((name) => {
      const [given, inferred] = [into[name], this.types.get(name)];
      return given ? staticType(given.type, given.dims) : staticType(inferred?.dtype, inferred?.dims);
    });
    const possible = this.hasSentinel && types.every((type) => type !== undefined);
    const size = possible ? types.reduce((sum, type) => sum + sizeOf(type!.dims), 0) : 0;
    if (size < leastSize || names.some((name) => this.writes.get(name) === false)) {
      return moved(await this.session.run(feeds, names), into);
    }
    const untried = names.some((name) => !this.writes.has(name));
    const tensors = names.map((name, i) => (untried ? undefined : into[name]) ?? emptyTensor(types[i]!));
    if (untried) return moved(await this.firstRun(feeds, names, tensors), into);
    await this.write(feeds, names, tensors);
    return byName(names, tensors);
  }

  /** Finds out which of the outputs are written into given tensors. */
  private async firstRun(
    feeds: Feeds,
    names: readonly string[],
    tensors: readonly Tensor[],
  ): Promise<Readonly<Record<string, Tensor>>> {
    for (const tensor of tensors) bytesOf(tensor).fill(untouched);
    const done = await this.write(feeds, names, tensors, { logSeverityLevel: 4 }).then(
      () => true,
      () => false,
    );
    const written = tensors.map((tensor) => done && bytesOf(tensor).some((byte) => byte !== untouched));
    // Without given tensors, a run that fails for another reason says which.
    const results = written.includes(false) ? await this.session.run(feeds, names) : byName(names, tensors);
    for (const [i, name] of names.entries()) this.writes.set(name, written[i]);
    return results;
  }

  /** Runs, every output into the tensor that is given for it. */
  private async write(
    feeds: Feeds,
    names: readonly string[],
    tensors: readonly Tensor[],
    options: ort.InferenceSession.RunOptions = {},
  ): Promise<void> {
    // The binding writes into tensors that are instances of its own Tensor class and silently ignores others.
    const own = tensors.map(({ type, data, dims }) => new ort.Tensor(type, data, dims));
    try {
      await this.session.run(feeds, { [sentinel]: null, ...byName(names, own) }, options);
    } catch (error) {
      if (!String(error).includes(refusal)) throw error;
    }
  }
}

const byName = <T>(names: readonly string[], values: readonly T[]): Record<string, T> =>
  Object.fromEntries(names.map((name, i) => [name, values[i]]));

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

interface StaticType {
  readonly type: string;
  readonly dims: readonly number[];
}

/** A type that says how large a tensor is. The dimensions of a shape that is not known are none, as a scalar's are. */
function staticType(type: string | undefined, dims: OutputType["dims"] = []): StaticType | undefined {
  if (type === undefined || !(type in arrays) || dims.length === 0) return undefined;
  return dims.every((dim) => typeof dim === "number" && dim > 0)
    ? { type, dims: dims as number[] }
    : undefined;
}

function emptyTensor({ type, dims }: StaticType): Tensor {
  const kind = type as keyof typeof arrays;
  return new ort.Tensor(kind, new arrays[kind](sizeOf(dims)), dims);
}

const bytesOf = (tensor: Tensor): Uint8Array => {
  const { buffer, byteOffset, byteLength } = tensor.data as Float32Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
};

/** A byte that no bool is, and that no tensor of numbers is full of but by chance. */
const untouched = 0xa5;

/** `results`, with the values of those in `into` copied there. */
function moved(results: Readonly<Record<string, Tensor>>, into: Fetches): Record<string, Tensor> {
  const out: Record<string, Tensor> = { ...results };
  for (const [name, given] of Object.entries(into)) {
    const from = out[name];
    if (from === undefined) continue;
    if (from.size !== given.size) {
      throw new RangeError(`${name} has ${from.size} numbers, the tensor given for it has ${given.size}`);
    }
    bytesOf(given).set(bytesOf(from));
    out[name] = given;
  }
  return out;
}
