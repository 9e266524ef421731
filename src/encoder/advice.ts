import {
  DeviceError,
  MemoryError,
  ModelError,
  NoRuleError,
  ShapeError,
  UnreachedInputError,
  UsageError,
} from "../errors.ts";

const choose = "with `feature` (`clp-dd inspect` lists the candidates)";

/** What someone who runs an encoder can do about an error of the engine, which knows tensors alone. */
function adviceOn(error: Error): string | undefined {
  if (error instanceof NoRuleError) return `Choose a feature tensor before ${theseNodes(error)} ${choose}.`;
  if (error instanceof UnreachedInputError) return `Choose another feature tensor ${choose}.`;
  if (error instanceof MemoryError) return "Allow more with `memoryBytes`, or choose a smaller `size`.";
  if (error instanceof ShapeError) return "Another `size` may suit it.";
  return error instanceof DeviceError ? "Leave `device` out to run on the CPU." : undefined;
}

const theseNodes = ({ nodes }: NoRuleError) => (nodes.length === 1 ? "this node" : "these nodes");

/** The error with advice in its message, where there is some. */
export function withAdvice(error: unknown): unknown {
  const advice = error instanceof Error ? adviceOn(error) : undefined;
  if (advice === undefined) return error;
  const { message } = error as Error;
  const Kind = error instanceof UsageError ? UsageError : ModelError;
  return new Kind(`${message} ${advice}`, { cause: error });
}

/** The outcome of `work`, whose errors get advice. */
export async function advised<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw withAdvice(error);
  }
}
