import { describe, expect, it } from "vitest";
import { parseAddress, parseRunAddress, withoutSecrets } from "../../src/machines/address.ts";

describe("the address of a run", () => {
  it("names server, run, encryption and database", () => {
    expect(parseRunAddress("rediss://node1:7000/imagenet-1k?db=2", {})).toEqual({
      ...{ host: "node1", port: 7000, tls: true, username: undefined, password: undefined, database: 2 },
      ...{ run: "imagenet-1k", shown: "rediss://node1:7000/imagenet-1k" },
    });
    expect(parseAddress("redis://node1", {})).toMatchObject({ port: 6379, tls: false, run: undefined });
    expect(parseAddress("redis://[::1]:7000/a", {}).host).toBe("::1");
  });

  it("takes user and password from itself or from the environment, and never shows them", () => {
    const variables = { CLP_DD_REDIS_USERNAME: "ann", CLP_DD_REDIS_PASSWORD: "secret" };
    expect(parseAddress("redis://node1/a", variables)).toMatchObject({ username: "ann", password: "secret" });
    const given = parseAddress("redis://bob:p%40ss@node1/a", variables);
    expect(given).toMatchObject({ username: "bob", password: "p@ss", shown: "redis://node1/a" });
    expect(withoutSecrets("--join redis://bob:p%40ss@node1/a --out d")).toBe(
      "--join redis://node1/a --out d",
    );
  });

  it.each([
    ["node1:6379/a", /scheme is another/],
    ["http://node1/a", /scheme is another/],
    ["redis:///a", /names no host/],
    ["redis://node1/a b", /the name "a b" is not allowed/],
    ["redis://u:top#secret@node1/a", /is not an address/],
  ])("%s is refused, and its password is not shown", (text, message) => {
    expect(() => parseRunAddress(text, {})).toThrow(message);
    expect(() => parseRunAddress(text, {})).not.toThrow(/secret/);
  });

  it("must name a run where one is joined", () => {
    expect(() => parseRunAddress("redis://node1:7000", {})).toThrow(/names no run/);
  });
});
