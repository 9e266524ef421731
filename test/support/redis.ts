import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why the tests of runs on several machines are skipped; undefined where a server is installed. */
export const noServer =
  spawnSync("redis-server", ["--version"]).status === 0
    ? undefined
    : "needs redis-server: apt-get install redis-server (Debian, Ubuntu) or brew install redis";

/** A port of the loopback interface that nobody has at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export interface RedisServer {
  readonly port: number;
  /** Ends the server at once, as a crash does, and starts it again on the same port. */
  restart(keepData: boolean): Promise<void>;
  /** Runs redis-cli and gives what it prints. */
  cli(...args: string[]): string;
  end(): Promise<void>;
}

/** A server of its own folder on a free port, which writes every command to its disk. */
export async function startRedis(options: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "clp-dd-redis-"));
  const start = async (): Promise<ChildProcess> => {
    const settings = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
    const durable = ["--appendonly", "yes", "--appendfsync", "everysec"];
    const child = spawn("redis-server", [...settings, ...durable, ...options], { stdio: "ignore" });
    const deadline = performance.now() + 20_000;
    while (!(await answers(port))) {
      if (child.exitCode !== null || performance.now() > deadline)
        throw new Error(`redis-server does not answer on port ${port}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return child;
  };
  const stop = (child: ChildProcess) =>
    new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
  let child = await start();
  return {
    port,
    async restart(keepData) {
      await stop(child);
      if (!keepData) rmSync(join(folder, "appendonlydir"), { recursive: true, force: true });
      child = await start();
    },
    cli(...args) {
      return spawnSync("redis-cli", ["-p", `${port}`, ...args], { encoding: "utf8" }).stdout.trim();
    },
    async end() {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("data", (data) => {
      socket.destroy();
      // With a password set, the refusal shows as well that it is there.
      resolve(/^(\+PONG|-NOAUTH)/.test(String(data)));
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}

/** A network on the loopback interface that can be cut: nothing is refused, and nothing arrives. */
export async function startProxy(to: number) {
  const sockets = new Set<Socket>();
  let cut = false;
  const server: Server = createServer((from) => {
    const onward = createConnection(to, "127.0.0.1");
    for (const [one, other] of [
      [from, onward],
      [onward, from],
    ]) {
      sockets.add(one);
      one.on("data", (data) => {
        if (!cut) other.write(data);
      });
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        if (!cut) other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    cut(now: boolean) {
      cut = now;
      // What was cut stays cut: after the network is back, connections are new ones.
      if (!now) for (const socket of sockets) socket.destroy();
    },
    async end() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
