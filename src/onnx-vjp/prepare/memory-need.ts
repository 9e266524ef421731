import { MemoryError } from "../errors.ts";
import { bytesPerElement, describeNode, type Node, sizeOf } from "../graph/ir.ts";
import type { OutputType } from "../graph/runtime.ts";
import { readsOf } from "./reads-of.ts";

interface Run {
  /** In execution order. */
  readonly nodes: readonly Node[];
  /** What is given to the run. */
  readonly inputs: readonly string[];
  /** What stays until its end. */
  readonly kept: ReadonlySet<string>;
  /** A value that is missing, or has a dimension that is not known, counts nothing. */
  readonly types: ReadonlyMap<string, Pick<OutputType, "dtype" | "dims">>;
}

/**
 * Holds the values that a run makes, each from the node that writes it to the last that reads it, against a limit: before
 * ONNX Runtime is asked for them, which takes memory until the system ends the process. Weights are not counted; they are
 * in memory already.
 * @param share of the bytes that the types say which a run takes (the types may be of another batch)
 * @throws MemoryError naming the node at which the limit is passed
 */
export function requireMemory(
  { nodes, inputs, kept, types }: Run,
  memoryBytes: number | undefined,
  share = 1,
): void {
  if (memoryBytes === undefined) return;
  const bytesOf = (value: string): number => {
    const type = types.get(value);
    if (type === undefined || !type.dims.every((d) => typeof d === "number" && d >= 0)) return 0;
    return sizeOf(type.dims as readonly number[]) * bytesPerElement[type.dtype] * share;
  };
  const lastReader = new Map<string, number>();
  for (const [i, node] of nodes.entries()) for (const value of readsOf(node)) lastReader.set(value, i);
  const held = new Map<string, number>();
  let total = 0;
  const hold = (value: string) => {
    if (held.has(value)) return;
    held.set(value, bytesOf(value));
    total += held.get(value)!;
  };
  for (const input of inputs) hold(input);
  requireBelow(total, memoryBytes, () => `its inputs alone, ${shown(inputs[0], types)},`);
  for (const [i, node] of nodes.entries()) {
    for (const output of node.outputs) if (output !== "") hold(output);
    const largest = () => node.outputs.reduce((a, b) => (bytesOf(b) > bytesOf(a) ? b : a));
    requireBelow(
      total,
      memoryBytes,
      () => `at the node ${describeNode(node)}, which makes ${shown(largest(), types)}, it`,
    );
    for (const value of [...readsOf(node), ...node.outputs]) {
      if (kept.has(value) || (lastReader.get(value) ?? i) > i) continue;
      total -= held.get(value) ?? 0;
      held.delete(value);
    }
  }
}

function requireBelow(bytes: number, memoryBytes: number, where: () => string): void {
  if (bytes <= memoryBytes) return;
  throw new MemoryError(
    `The model cannot run in the memory that it may take: ${where()} needs ${gibibytes(bytes)} GiB of at most ` +
      `${gibibytes(memoryBytes)} GiB.`,
  );
}

function shown(value: string | undefined, types: Run["types"]): string {
  const type = value === undefined ? undefined : types.get(value);
  return type === undefined ? "values" : `${type.dtype} [${type.dims.join(", ")}]`;
}

const gibibytes = (bytes: number): string => String(Number((bytes / 2 ** 30).toPrecision(3)));
