import { isMainThread } from "node:worker_threads";
import { UsageError } from "../errors.ts";

/**
 * Turns ONNX Runtime's telemetry off, when this module is loaded: it is imported before the binding for Node wherever
 * that is, and by what the main thread loads. From 1.30 on, the library otherwise writes a permanent device id into the
 * user's cache folder and sends a description of the machine, of the model and of every run to its maker.
 *
 * The library reads the variable once, when the process makes its first session, from the environment of the process.
 * Only the main thread writes there; a worker thread's `process.env` is a copy.
 */
const variable = "ORT_DISABLE_TELEMETRY";

/** A person who has set the variable has decided, for either. */
if (isMainThread && !process.env[variable]) process.env[variable] = "1";

/**
 * Makes sure that the variable has reached the process before a worker thread loads the library.
 * @throws UsageError in a worker thread of a program whose main thread has not imported this package
 */
export function requireTelemetryDecided(): void {
  if (isMainThread || ofProcess(variable)) return;
  throw new UsageError(
    `ONNX Runtime would send telemetry to its maker, and a worker thread cannot turn that off. Import "clp-dd" on the ` +
      `main thread, too, before this, or start Node with ${variable}=1 (0 leaves the telemetry on).`,
  );
}

/** A variable of the process, which a worker thread sees only in a diagnostic report. */
function ofProcess(name: string): string | undefined {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean; excludeEnv?: boolean };
  const { excludeNetwork = false, excludeEnv = false } = report;
  // With the network, a report looks up the names of the peers of open sockets.
  Object.assign(report, { excludeNetwork: true, excludeEnv: false });
  try {
    const { environmentVariables } = report.getReport() as {
      environmentVariables?: Readonly<Record<string, string>>;
    };
    return environmentVariables?.[name];
  } finally {
    Object.assign(report, { excludeNetwork, excludeEnv });
  }
}
