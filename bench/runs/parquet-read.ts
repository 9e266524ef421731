/**
 * How long it takes to read the images of a parquet data set, without decoding them, and the memory of it.
 *
 *     node .bench/bench/runs/parquet-read.js DATA
 */
import { openDataSet } from "../../src/data/open-data-set.ts";

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("expected the path of a parquet file, or of a folder with some");
const seconds = (since: number): number => (performance.now() - since) / 1000;

const began = performance.now();
const source = await openDataSet(path);
const opened = seconds(began);
const images = source.images("train");
const start = performance.now();
const before = process.cpuUsage();
let bytes = 0;
for (let i = 0; i < images.length; i++) bytes += (await images.at(i).open()).length;
const read = seconds(start);
const { user, system } = process.cpuUsage(before);
const peak = process.resourceUsage().maxRSS / 1024;
console.log(
  `${images.length} images, ${(bytes / 1e6).toFixed(0)} MB: opened in ${opened.toFixed(2)} s, read in ${read.toFixed(2)} s ` +
    `(${((user + system) / 1e6).toFixed(2)} s of CPU time), at most ${peak.toFixed(0)} MiB`,
);
