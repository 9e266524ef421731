import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";

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

/** A certificate for the loopback interface, signed by itself, and its key. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  remove(): void;
}

/** Why tests with TLS are skipped; undefined where a certificate can be made. */
export const noCertificate =
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "needs openssl: apt-get install openssl";

export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "clp-dd-tls-"));
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  const subject = ["-subj", "/CN=clp-dd", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  const made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate];
  const { status, stderr } = spawnSync("openssl", ["req", ...made, ...subject], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return { certificate, key, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A server of its own folder on a free port, which writes every command to its disk. @param tls nothing but TLS */
export async function startRedis(options: readonly string[] = [], tls?: Certificate): Promise<RedisServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "clp-dd-redis-"));
  const secure = tls
    ? [
        ...["--port", "0", "--tls-port", `${port}`, "--tls-auth-clients", "no"],
        ...[
          "--tls-cert-file",
          tls.certificate,
          "--tls-key-file",
          tls.key,
          "--tls-ca-cert-file",
          tls.certificate,
        ],
      ]
    : [];
  const start = async (): Promise<ChildProcess> => {
    const settings = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
    const durable = ["--appendonly", "yes", "--appendfsync", "everysec"];
    const child = spawn("redis-server", [...settings, ...durable, ...secure, ...options], {
      stdio: "ignore",
    });
    const deadline = performance.now() + 20_000;
    while (!(await answers(port, tls !== undefined))) {
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
      const own = ["-p", `${port}`, ...(tls ? ["--tls", "--cacert", tls.certificate] : [])];
      return spawnSync("redis-cli", [...own, ...args], { encoding: "utf8" }).stdout.trim();
    },
    async end() {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(port: number, tls: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const ask = () => socket.write("PING\r\n");
    const socket: Socket = tls
      ? connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, ask)
      : createConnection(port, "127.0.0.1", ask);
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
