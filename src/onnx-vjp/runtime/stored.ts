import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type DerivativeGraphs,
  type DerivativeOutline,
  type Differentiable,
  differentiable,
} from "../compile/differentiable.ts";
import type { Graph, TensorType } from "../graph/ir.ts";
import type { Session } from "../graph/runtime.ts";
import { WeightsFile } from "../graph/weights-file.ts";
import { writeOnnx } from "../graph/write-onnx.ts";
import { storedSession } from "./node.ts";
import { withSentinel } from "./outputs.ts";

/** Constants from this many bytes on are kept in the file of weights. */
const externalFrom = 4096;

const weightsName = "weights.bin";
const outlineName = "outline.json";
const modelName = (graph: string) => `${graph}.onnx`;

/** Writes graphs into `folder` by their names, for processes that share their weights. */
async function storeGraphs(folder: string, graphs: Readonly<Record<string, Graph>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = await open(join(folder, weightsName), "w");
  try {
    const weights = new WeightsFile(file, weightsName);
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
  const { inputs, outputs, ...rest } = graphs.outline;
  const types = { inputs: [...inputs], outputs: [...outputs] };
  await writeFile(join(folder, outlineName), JSON.stringify({ ...rest, ...types }));
}

/** The differentiable function that `storeDerivative` wrote, to be run with one thread. */
export async function openDerivative(folder: string): Promise<Differentiable> {
  const text = await readFile(join(folder, outlineName), "utf8");
  const { inputs, outputs, ...rest } = JSON.parse(text) as Omit<DerivativeOutline, "inputs" | "outputs"> & {
    readonly inputs: [string, TensorType][];
    readonly outputs: [string, TensorType][];
  };
  return differentiable(
    await storedSession(join(folder, modelName("forward"))),
    await storedSession(join(folder, modelName("pullback"))),
    { ...rest, inputs: new Map(inputs), outputs: new Map(outputs) },
  );
}
