import { type FileHandle, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type DerivativeGraphs,
  type DerivativeOutline,
  type Differentiable,
  differentiable,
} from "../compile/differentiable.ts";
import type { Graph } from "../graph/ir.ts";
import type { Session } from "../graph/runtime.ts";
import { type ExternalPlace, writeOnnx } from "../graph/write.ts";
import { storedSession } from "./node.ts";
import { withSentinel } from "./outputs.ts";

/** Constants from this many bytes on are kept in the file of weights. */
const externalFrom = 4096;

/** The system maps files by pages. */
const pageBytes = 4096;

const weightsName = "weights.bin";
const outlineName = "outline.json";
const modelName = (graph: string) => `${graph}.onnx`;

/** Weights one after the other in a file, each once, however many graphs refer to it. */
class WeightsFile {
  private readonly file: FileHandle;
  private readonly places = new Map<ArrayBufferLike, Map<string, number>>();
  private readonly written: { readonly data: Uint8Array; readonly offset: number }[] = [];
  private end = 0;

  constructor(file: FileHandle) {
    this.file = file;
  }

  /** Where the bytes will be. */
  placeOf(data: Uint8Array): ExternalPlace {
    const known = this.places.get(data.buffer) ?? new Map<string, number>();
    this.places.set(data.buffer, known);
    const key = `${data.byteOffset} ${data.byteLength}`;
    let offset = known.get(key);
    if (offset === undefined) {
      offset = this.end;
      known.set(key, offset);
      this.written.push({ data, offset });
      this.end = Math.ceil((offset + data.byteLength) / pageBytes) * pageBytes;
    }
    return { path: weightsName, offset };
  }

  /** Writes all that was placed. */
  async write(): Promise<void> {
    for (const { data, offset } of this.written) {
      for (let done = 0; done < data.byteLength; ) {
        const { bytesWritten } = await this.file.write(data, done, data.byteLength - done, offset + done);
        done += bytesWritten;
      }
    }
    await this.file.truncate(this.end);
  }
}

/** Writes graphs into `folder` by their names, for processes that share their weights. */
async function storeGraphs(folder: string, graphs: Readonly<Record<string, Graph>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = await open(join(folder, weightsName), "w");
  try {
    const weights = new WeightsFile(file);
    for (const [name, graph] of Object.entries(graphs)) {
      const { graph: written, first } = withSentinel(graph);
      const { model } = writeOnnx(written, {
        externalFrom,
        extraOutputs: first,
        placeOf: (data) => weights.placeOf(data),
      });
      await writeFile(join(folder, modelName(name)), model);
    }
    await weights.write();
  } finally {
    await file.close();
  }
}

/** Writes a graph that nothing is kept of into `folder`. */
export const storeForward = (folder: string, forward: Graph): Promise<void> =>
  storeGraphs(folder, { forward });

/** A session, with one thread, of the graph that `storeForward` wrote. */
export const openForward = (folder: string): Promise<Session> =>
  storedSession(join(folder, modelName("forward")));

/** Writes the graphs of a differentiable function into `folder`. */
export async function storeDerivative(folder: string, graphs: DerivativeGraphs): Promise<void> {
  const { forward, pullback } = graphs;
  await storeGraphs(folder, { forward, pullback });
  const { inputs, ...rest } = graphs.outline;
  await writeFile(join(folder, outlineName), JSON.stringify({ ...rest, inputs: [...inputs] }));
}

/** The differentiable function that `storeDerivative` wrote, to be run with one thread. */
export async function openDerivative(folder: string): Promise<Differentiable> {
  const text = await readFile(join(folder, outlineName), "utf8");
  const { inputs, ...rest } = JSON.parse(text) as Omit<DerivativeOutline, "inputs"> & {
    readonly inputs: [string, DerivativeOutline["output"]][];
  };
  return differentiable(
    await storedSession(join(folder, modelName("forward"))),
    await storedSession(join(folder, modelName("pullback"))),
    { ...rest, inputs: new Map(inputs) },
  );
}
