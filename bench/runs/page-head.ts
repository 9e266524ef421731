/**
 * Time to an answer, beside Teachable Machine's own library: the page's closed form and the head that the library trains,
 * both in Chromium, on the same features of the emoji set's groups (the embedded encoder at 128 px). Prints one line of JSON.
 *
 *   bench/peers/setup js; npm run build && npm run bench:build && node .bench/bench/runs/page-head.js [--threads 2] [--each 40]
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openRunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { answerInPage, type PageAnswer } from "../lib/page-answer.ts";
import { Peer, webPeers } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: { threads: { type: "string", default: "2" }, each: { type: "string", default: "40" } },
});
const threads = Number(options.threads);
const each = Number(options.each);
const context = { signal: new AbortController().signal, progress() {}, note() {} };

/** What it prints. */
export interface PageHead {
  readonly images: number;
  readonly testImages: number;
  readonly classes: number;
  readonly featureSize: number;
  readonly ours: PageAnswer;
  readonly theirs: readonly {
    readonly seconds: number;
    readonly accuracy: number;
    readonly backend: string;
  }[];
}

/** Values of Teachable Machine's page; the library leaves them to who calls it. */
const teachable = { epochs: 50, batchSize: 16, learningRate: 0.001, denseUnits: 100 } as const;

const place = await openRunContext(
  { data: "emoji", encoder: "efficientnet-lite0", size: 128, threads, cacheFolder: userCache(), maxBad: 0 },
  context,
);
const folder = await temporaryFolder("page-head");
try {
  const { featureSize } = place.train;
  const classes = place.source.classes.length;
  const train = await rowsOf(place.train, each);
  const test = await rowsOf(place.test!, Number.POSITIVE_INFINITY);
  const files = { train: join(folder.path, "train"), test: join(folder.path, "test") };
  await writeFile(files.train, train.features);
  await writeFile(files.test, test.features);
  const ours = await answerInPage(folder.path, { threads, featureSize, classes, train, test });
  const modules = webPeers();
  if (modules === undefined) throw new Error("bench/peers/setup js was not run.");
  const peer = Peer.browser("teachable.js", modules);
  const theirs: PageHead["theirs"][number][] = [];
  for (const backend of ["wasm", "cpu"]) {
    const given = { threads, featureSize, classes, backend, files, ...teachable };
    const labels = { labels: [...train.labels], testLabels: [...test.labels] };
    theirs.push(await peer.ask("head", { ...given, ...labels }));
  }
  await peer.end();
  const sizes = { images: train.labels.length, testImages: test.labels.length, classes, featureSize };
  console.log(JSON.stringify({ ...sizes, ours, theirs } satisfies PageHead));
} finally {
  await folder.remove();
  await place.release();
}

/** Features of the first rows of each class. */
async function rowsOf(rows: typeof place.train, most: number) {
  const counts = new Map<number, number>();
  const chosen = [...rows.labels.keys()].filter((row) => {
    const label = rows.labels[row]!;
    counts.set(label, (counts.get(label) ?? 0) + 1);
    return counts.get(label)! <= most;
  });
  const features = new Float32Array(chosen.length * rows.featureSize);
  await rows.rows(Int32Array.from(chosen), features);
  return { features, labels: Int32Array.from(chosen, (row) => rows.labels[row]!) };
}
