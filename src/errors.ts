import { ClpError } from "./onnx-vjp/errors.ts";

export {
  ClpError,
  DeviceError,
  MemoryError,
  ModelError,
  messageOf,
  NoRuleError,
  NumericalError,
  ShapeError,
  UnreachedInputError,
  UsageError,
} from "./onnx-vjp/errors.ts";

/** A data set, image, cache or artifact that cannot be used as given. */
export class DataError extends ClpError {
  override name = "DataError";
}

/** A process that does a share of the work, and does not stay alive. */
export class ProcessError extends ClpError {
  override name = "ProcessError";
}

/** A download or a remote service that did not give what was asked for. */
export class DownloadError extends ClpError {
  override name = "DownloadError";
}

/** A server of runs on several machines that does not answer, or no longer has a run. */
export class ServerError extends ClpError {
  override name = "ServerError";
}

/** The user stopped the work; what was done is saved and the message says how to resume. Exit code 130. */
export class InterruptedError extends ClpError {
  override readonly exitCode = 130;
  override name = "InterruptedError";
}
