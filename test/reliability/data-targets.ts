import { gzipSync } from "node:zlib";
import { readMat } from "../../src/data/sets/mat.ts";
import { DataError, messageOf } from "../../src/errors.ts";
import { readPickle } from "../../src/files/pickle.ts";
import { decodeImage } from "../../src/images/decode.ts";
import { bytesMutator, gzipMutator, matMutator, parquetMutator, tarMutator, textMutator } from "./mutate.ts";
import { bytesOf, files, placed, setOf, smallFiles, type Target } from "./target.ts";

/** A small file in the format of MNIST: two images of 4 × 4 pixels, or their labels. */
function idx(images: boolean): Uint8Array {
  const dims = images ? [2, 4, 4] : [2];
  const head = Buffer.alloc(4 + 4 * dims.length);
  head.writeUInt32BE(0x800 + dims.length);
  for (const [i, d] of dims.entries()) head.writeUInt32BE(d, 4 + 4 * i);
  return Buffer.concat([head, Buffer.alloc(images ? 32 : 2, 1)]);
}
const idxImages = "train-images-idx3-ubyte";
const besideIdx = {
  "train-labels-idx1-ubyte": idx(false),
  "t10k-images-idx3-ubyte": idx(true),
  "t10k-labels-idx1-ubyte": idx(false),
};

/** Two images of CIFAR-10, class before pixels. */
const cifarRecords = Uint8Array.from({ length: 2 * 3073 }, (_, i) => (i % 3073 === 0 ? 1 : i % 251));
const besideCifar = Object.fromEntries([
  ["cifar-10-batches-bin/batches.meta.txt", bytesOf("cat\ndog\n")],
  ...["data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"].map((name) => [
    `cifar-10-batches-bin/${name}.bin`,
    cifarRecords,
  ]),
]) as Record<string, Uint8Array>;

const svgs = [
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M4 4h24v24H4z" fill="#c33"/><circle cx="16" cy="16" r="8" fill="url(#g)"/><defs><linearGradient id="g"><stop offset="0" stop-color="red"/><stop offset="1" stop-color="blue"/></linearGradient></defs></svg>',
  '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><g transform="rotate(30 12 12) scale(.5)"><rect x="2" y="2" width="20" height="20" rx="3" stroke="#000" stroke-width="2" fill="none"/><text x="4" y="20" font-size="12">a&amp;b</text></g></svg>',
  '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="16" height="16"><image width="8" height="8" xlink:href="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="/></svg>',
];

/** What holds data sets: the formats of published ones, archives and images. */
export const dataTargets: Readonly<Record<string, Target>> = {
  parquet: {
    ...setOf("train-00000.parquet", parquetMutator, () => smallFiles(/\.parquet$/, 12_000)),
    weight: 2,
  },
  tar: setOf("train-000.tar", tarMutator, () => smallFiles(/\.tar$/, 60_000)),
  mat: {
    mutate: matMutator,
    corpus: () => smallFiles(/\.mat$/),
    async read(bytes, folder) {
      await readMat(placed(`${folder}/x.mat`, bytes));
    },
  },
  idx: setOf(idxImages, bytesMutator, async () => [idx(true)], besideIdx),
  "idx-gzip": setOf(`${idxImages}.gz`, gzipMutator, async () => [gzipSync(idx(true))], besideIdx),
  cifar: setOf(
    "cifar-10-batches-bin/data_batch_1.bin",
    bytesMutator,
    async () => [cifarRecords],
    besideCifar,
  ),
  "cifar-pickles": {
    mutate: bytesMutator,
    corpus: async () => [
      ...(await files("cases/data-cifar-py/cifar-10-batches-py/batches.meta")),
      (await files("cases/data-cifar-py/cifar-10-batches-py/data_batch_1"))[0]!.subarray(0, 400),
    ],
    async read(bytes) {
      try {
        readPickle(bytes);
      } catch (error) {
        // What reads the files names them; an error of JavaScript's own is a defect.
        if (Object.getPrototypeOf(error) !== Error.prototype) throw error;
        throw new DataError(messageOf(error), { cause: error });
      }
    },
  },
  images: {
    mutate: bytesMutator,
    corpus: () => smallFiles(/\.(bmp|ppm|png|jpe?g|gif|webp|tiff?)$/i, 20_000),
    async read(bytes) {
      await decodeImage("x", bytes, { kind: "raster" });
    },
    weight: 2,
  },
  svg: {
    mutate: textMutator,
    corpus: async () => svgs.map(bytesOf),
    async read(bytes) {
      await decodeImage("x", bytes, { kind: "svg", fixed: true });
    },
  },
};
