/**
 * The thread that renews a worker's lease: the main one may be busy with the probe, or with a model on a GPU, for longer
 * than a lease lasts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../errors.ts";
import type { KeeperSetup, ToKeeper, ToWorker } from "./keeper.ts";
import type { WorkerStatus } from "./run-record.ts";
import { scriptCommand, textOf } from "./run-server.ts";
import { Connection } from "./server.ts";

const { address, run, id, leaseMilliseconds } = workerData as KeeperSetup;
const connection = new Connection(address, {
  purpose: "renewing the lease",
  patience: leaseMilliseconds / 1000,
});
const post = (message: ToWorker) => parentPort!.postMessage(message);

let session: string | undefined;
let status: WorkerStatus | undefined;
let ready = false;

parentPort!.on("message", (message: ToKeeper) => {
  ({ session, status, ready } = message);
  if (message.now) void renew();
});

async function renew(): Promise<void> {
  const of = session;
  if (of === undefined || status === undefined) return;
  try {
    const reply = await connection.command(
      scriptCommand("renew", run, id, of, leaseMilliseconds, JSON.stringify(status), ready ? 1 : 0),
    );
    const text = textOf(reply);
    if (text === "lost" || text === "gone") post({ kind: text, session: of });
    else {
      const [workers, caughtUp, generation] = reply as readonly number[];
      post({ kind: "renewed", workers, ready: caughtUp, generation });
    }
  } catch (error) {
    // The main thread finds out for itself, and says what is to be done.
    post({ kind: "silent", reason: messageOf(error) });
  }
}

let under = Promise.resolve();
setInterval(() => {
  under = under.then(renew);
}, leaseMilliseconds / 4);
