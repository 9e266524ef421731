// The picture at the top of the README: the images of a distilled set in one row, in the order of its classes. Between
// them it is transparent, so that it suits light and dark pages.
//
//   npm run demo && node tools/distilled-picture.mjs out-demo docs/images/distilled.png
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";

const side = 96;
const gap = 6;

const [folder, out] = process.argv.slice(2);
if (folder === undefined || out === undefined) {
  console.error("Usage: node tools/distilled-picture.mjs FOLDER FILE.png");
  process.exit(2);
}
const { classes } = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
const images = [];
for (const name of classes) {
  const files = (await readdir(join(folder, "images", name))).sort();
  for (const file of files) {
    images.push(await sharp(join(folder, "images", name, file)).resize(side, side, { fit: "fill" }).png().toBuffer());
  }
}
const width = images.length * (side + gap) - gap;
await sharp({ create: { width, height: side, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } })
  .composite(images.map((input, index) => ({ input, left: index * (side + gap), top: 0 })))
  .png({ palette: true, colors: 256, compressionLevel: 9 })
  .toFile(out);
