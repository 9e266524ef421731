import { writeFile } from "node:fs/promises";
import { readEmojiNames } from "../../src/data/emoji-names.ts";
import { emojiIconsOfPackages } from "../../src/data/emoji-icons.ts";
import { openRunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { encoderInput } from "../../src/images/input.ts";
import type { PixelImage } from "../../src/images/pixels.ts";
import { digits, flags, photoParts, pixelNoise, smoothNoise } from "../lib/outside-pictures.ts";
import type { FeatureRows } from "../../src/probe/rows.ts";
const context = { signal: new AbortController().signal, progress() {}, note() {} };
const params = { data: "emoji", encoder: "efficientnet-lite0", size: 128, resize: 128, threads: 2, cacheFolder: userCache(), maxBad: 0 };
const out = "/tmp/use/ood/";
const place = await openRunContext(params, context);
const save = async (name: string, rows: FeatureRows) => {
  const x = new Float32Array(rows.count * rows.featureSize);
  await rows.rows(Int32Array.from({ length: rows.count }, (_, i) => i), x);
  await writeFile(`${out}${name}.f32`, x);
};
const icons = (await emojiIconsOfPackages()).icons;
const subgroup = new Map(icons.map(({ set, name, emoji }) => [`${set.id}/${name}`, emoji.subgroup]));
for (const split of ["train", "test"] as const) {
  const rows = split === "train" ? place.train : place.test!;
  await save(split, rows);
  const list = place.source.images(split);
  const ids = Array.from({ length: rows.count }, (_, i) => list.at(rows.imageIndices![i]!).id);
  await writeFile(`${out}${split}.json`, JSON.stringify({ labels: [...rows.labels], ids, subgroups: ids.map((id) => subgroup.get(id)) }));
}
const flagPlace = await openRunContext(params, context, { source: await flags() });
await save("flags", flagPlace.train);
const encode = async (name: string, images: readonly PixelImage[]) => {
  const d = place.encoder.featureSize;
  const x = new Float32Array(images.length * d);
  for (let i = 0; i < images.length; i += 32) {
    const some = images.slice(i, i + 32);
    x.set(await place.encoder.features(await encoderInput(some, place.encoder.preprocessing), some.length), i * d);
  }
  await writeFile(`${out}${name}.f32`, x);
  console.log(name, images.length);
};
await encode("pixel", pixelNoise(200));
await encode("smooth", await smoothNoise(200));
await encode("photos", await photoParts("/tmp/use/deb/x/usr/share/backgrounds", 12));
await encode("digits", (await digits("/tmp/peers/lib/python3.11/site-packages", 200))!);
await place.release();
await flagPlace.release();
process.exit(0);
