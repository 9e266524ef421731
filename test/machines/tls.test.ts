import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import {
  type Certificate,
  makeCertificate,
  noCertificate,
  noServer,
  type RedisServer,
  startRedis,
} from "../support/redis.ts";

const missing = noServer ?? noCertificate;

describe.skipIf(missing !== undefined)(
  `a server that is reached by TLS${missing ? ` (${missing})` : ""}`,
  { timeout: 60_000 },
  () => {
    const password = "correct-horse";
    let certificate: Certificate;
    let redis: RedisServer;
    const runs = (env: Readonly<Record<string, string>>) =>
      clpdd(["runs", `rediss://default:${password}@127.0.0.1:${redis.port}`, "--json"], { env });
    beforeAll(async () => {
      certificate = makeCertificate();
      redis = await startRedis(["--requirepass", password], certificate);
    });
    afterAll(async () => {
      await redis?.end();
      certificate?.remove();
    });

    it("is trusted where NODE_EXTRA_CA_CERTS has its authority", async () => {
      const { code, stdout, stderr } = await runs({ NODE_EXTRA_CA_CERTS: certificate.certificate });
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toEqual([]);
    });

    it("is refused at once elsewhere, with what to do and without the password", async () => {
      const { code, stdout, stderr } = await runs({});
      expect(code).toBe(1);
      expect(stderr).toMatch(/certificate of the server rediss:\/\/127.* is not trusted here: self-signed/);
      expect(stderr).toContain("NODE_EXTRA_CA_CERTS");
      expect(stdout + stderr).not.toContain(password);
    });
  },
);
