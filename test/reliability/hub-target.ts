import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { openDataSet } from "../../src/data/open-data-set.ts";
import { hubAccess } from "../../src/files/hub/settings.ts";
import { decodeImage } from "../../src/images/decode.ts";
import { describeFile } from "../support/hub-server.ts";
import { bytesMutator, filesMutator, jsonMutator, packed, unpacked } from "./mutate.ts";
import { files, jsonBytes, type Target } from "./target.ts";

/** What a request is answered with: a revision, a listing, or the file of every path. */
interface Answers {
  revision: Uint8Array;
  listing: Uint8Array;
  file: Uint8Array;
}

let server: Promise<{ readonly url: string; readonly answers: Answers }> | undefined;

/** A hub on the loopback interface. */
async function started(): Promise<{ readonly url: string; readonly answers: Answers }> {
  const nothing = new Uint8Array();
  const answers: Answers = { revision: nothing, listing: nothing, file: nothing };
  const hub = createServer((request, response) => {
    const path = request.url ?? "";
    const body = path.includes("/revision/")
      ? answers.revision
      : path.includes("/tree/")
        ? answers.listing
        : answers.file;
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (start > 0 && start >= body.length) response.writeHead(416).end();
    else response.writeHead(start > 0 ? 206 : 200).end(body.subarray(start));
  });
  await new Promise<void>((done) => hub.listen(0, "127.0.0.1", done));
  hub.unref();
  return { url: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`, answers };
}

const parquet = async () => (await files("data-sets/train-00001-of-00002.parquet"))[0]!;

/** What a hub answers on the way to a data set of one file: each answer is read, and the file by what they say of it. */
export const hubTarget: Target = {
  mutate: filesMutator(jsonMutator, jsonMutator, bytesMutator),
  async corpus() {
    const file = await parquet();
    const revision = { id: "owner/name", sha: "ab".repeat(20), private: false, gated: false, likes: 1 };
    return [packed(jsonBytes(revision), jsonBytes([describeFile("data/train-0.parquet", file)]), file)];
  },
  async read(bytes, folder) {
    server ??= started();
    const { url, answers } = await server;
    [answers.revision, answers.listing, answers.file] = unpacked(bytes, 3) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const home = join(folder, "hub");
    const hub = hubAccess({ HF_ENDPOINT: url, HF_HUB_CACHE: home, HF_HOME: folder }, folder);
    try {
      const source = await openDataSet("hf:owner/name", { access: hub, context: {} });
      const images = source.images("train");
      const item = images.at(images.length - 1);
      await decodeImage(item.id, await item.open(), item.encoding);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  },
};
