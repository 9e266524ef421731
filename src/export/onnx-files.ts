import type { Graph } from "../onnx-vjp/graph/ir.ts";
import { type ExternalPlace, writeOnnx } from "../onnx-vjp/graph/write-onnx.ts";
import { type ExportDtype, modelFiles, stored } from "./storage.ts";

/** Weights beside a model: a file as transformers.js looks for it, and what stands in it. */
export interface WeightChunk {
  readonly name: string;
  readonly parts: readonly { readonly data: Uint8Array; readonly offset: number }[];
}

/** A classifier as the files of one type. */
export interface OnnxFiles {
  readonly dtype: ExportDtype;
  /** The model's file, such as "model.onnx". */
  readonly name: string;
  readonly model: Uint8Array;
  /** Empty where the model's file holds all weights. */
  readonly weights: readonly WeightChunk[];
  /** Of model and weights. */
  readonly bytes: number;
}

/** Protobuf ends at 2 GB, and so does what a browser takes as one array. */
const mostBytes = 1.9e9;
/** Weights below this stay in the model's file even where others do not. */
const externalFrom = 4096;
const alignment = 4096;

/**
 * A classifier as ONNX files.
 * @param externalAbove bytes of weights from which on they are written into files beside the model, each of so many at most
 */
export function onnxFiles(
  graph: Graph,
  dtype: ExportDtype,
  metadata: Readonly<Record<string, string>>,
  externalAbove = mostBytes,
): OnnxFiles {
  const name = modelFiles[dtype];
  const own = stored(graph, dtype);
  const bytes = [...own.constants.values()].reduce((sum, constant) => sum + constant.bytes.byteLength, 0);
  if (bytes <= externalAbove) {
    const { model } = writeOnnx(own, { metadata });
    return { dtype, name, model, weights: [], bytes: model.byteLength };
  }
  const chunks = new Chunks(`${name}_data`, externalAbove);
  const { model } = writeOnnx(own, { metadata, externalFrom, placeOf: (data) => chunks.place(data) });
  const weights = chunks.finished();
  const outside = weights.reduce(
    (sum, { parts }) => sum + parts.reduce((s, { data }) => s + data.byteLength, 0),
    0,
  );
  return { dtype, name, model, weights, bytes: model.byteLength + outside };
}

/** Weights one after the other, in as many files as are needed. */
class Chunks {
  private readonly chunks: { name: string; parts: { data: Uint8Array; offset: number }[]; end: number }[] =
    [];
  private readonly name: string;
  private readonly most: number;

  constructor(name: string, most: number) {
    this.name = name;
    this.most = most;
  }

  place(data: Uint8Array): ExternalPlace {
    let chunk = this.chunks.at(-1);
    if (chunk === undefined || (chunk.end > 0 && chunk.end + data.byteLength > this.most)) {
      // transformers.js asks for "model.onnx_data", "model.onnx_data_1", and so on.
      const number = this.chunks.length;
      chunk = { name: number === 0 ? this.name : `${this.name}_${number}`, parts: [], end: 0 };
      this.chunks.push(chunk);
    }
    const offset = chunk.end;
    chunk.parts.push({ data, offset });
    chunk.end = Math.ceil((offset + data.byteLength) / alignment) * alignment;
    return { path: chunk.name, offset };
  }

  finished(): WeightChunk[] {
    return this.chunks.map(({ name, parts }) => ({ name, parts }));
  }
}
