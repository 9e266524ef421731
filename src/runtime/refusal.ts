import { ModelError, messageOf } from "../errors.ts";
import { describeNode, type Graph } from "../graph/ir.ts";

/** How ONNX Runtime says that it does not know an operator, of the standard domain or another. */
const unknownOperator = [/No Op registered for (?<op>\w+)/, /[\w.]*:(?<op>\w+)\(-?\d+\) is not a registered/];

/** The error for a graph that ONNX Runtime refused: an operator that it does not know is named with its nodes. */
export function refusal(graph: Graph, error: unknown): ModelError {
  const message = messageOf(error);
  const op = unknownOperator.map((pattern) => pattern.exec(message)?.groups?.op).find((o) => o !== undefined);
  const nodes = op === undefined ? [] : graph.nodes.filter((node) => node.op === op);
  if (nodes.length === 0)
    return new ModelError(`ONNX Runtime refused the graph: ${message}`, { cause: error });
  return new ModelError(
    `The model has an operator that ONNX Runtime does not know: ${nodes.slice(0, 20).map(describeNode).join(", ")} ` +
      `(${message}). Export the model with standard operators, or choose a feature tensor before these nodes with ` +
      "--feature.",
    { cause: error },
  );
}
