// Preloaded into a process and its worker threads: whoever looks up a name or leaves the machine is written to a file.
import dgram from "node:dgram";
import dns from "node:dns";
import { appendFileSync } from "node:fs";
import net from "node:net";

const log = process.env.NETWORK_LOG;
const refuse = (what) => {
  appendFileSync(log, `${what}\n`);
  throw new Error(`${what}: this process must not use the network`);
};
for (const name of Object.keys(dns).filter((n) => /^(lookup|resolve|reverse)/.test(n))) {
  dns[name] = (host) => refuse(`dns.${name} ${host}`);
}
for (const name of Object.keys(dns.promises).filter((n) => /^(lookup|resolve|reverse)/.test(n))) {
  dns.promises[name] = (host) => refuse(`dns.promises.${name} ${host}`);
}
net.Socket.prototype.connect = (...args) => refuse(`connect ${JSON.stringify(args)}`);
dgram.Socket.prototype.send = (...args) => refuse(`send ${JSON.stringify(args.slice(1))}`);
