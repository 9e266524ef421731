// The last part of `npm run build`: what the npm package has beside the compiled sources. It is no script of `npm pack`,
// which this project's .npmrc does not run.
//
// - The emoji set, as an archive of 5 MB. The packages that it is made from take 110 MB.
// - A few drawings of it, for the page to try: tools/ready-set.mjs.
// - onnxruntime-node, which the package bundles, without its install script. On Linux that script downloads libraries
//   for CUDA from another host, for everyone, and where it cannot, npm installs nothing at all.
import { createHash } from "node:crypto";
import { copyFile, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { writeEmojiArchive } from "../dist/data/emoji-archive.js";
import { emojiIconsOfPackages } from "../dist/data/emoji-icons.js";
import { iconSets } from "../dist/data/icon-sets.js";
import { writeReadySet } from "./ready-set.mjs";

const root = new URL("../", import.meta.url);
await packEmoji(new URL("dist/data/emoji-icons/", root));
await makeReadySet(new URL("node_modules/.cache/clp-dd/ready/", root));
await prepareRuntime(new URL("node_modules/onnxruntime-node/", root));

/** @param {URL} archive */
async function packEmoji(archive) {
  const packages = [...iconSets.map(({ id }) => `@iconify-json/${id}`), "emojibase-data"];
  const makers = ["emoji-archive", "emoji-icons", "emoji-names", "icon-sets"];
  const madeFrom = [
    ...packages.map((name) => `node_modules/${name}/package.json`),
    ...makers.map((name) => `dist/data/${name}.js`),
    "models/LICENSE.emoji",
  ];
  await unlessMade(archive, madeFrom, async () => {
    await writeEmojiArchive(archive, await emojiIconsOfPackages());
    await copyFile(new URL("models/LICENSE.emoji", root), new URL("LICENSE", archive));
  });
}

/** @param {URL} folder */
async function makeReadySet(folder) {
  const madeFrom = [
    "node_modules/@iconify-json/noto/package.json",
    "node_modules/emojibase-data/package.json",
    "tools/ready-set.mjs",
    "LICENSE",
  ];
  await unlessMade(folder, madeFrom, async () =>
    writeReadySet(folder, await emojiIconsOfPackages(), new URL("LICENSE", root)),
  );
}

/**
 * Makes a folder anew where one of the files that it is made from has changed.
 * @param {URL} folder @param {readonly string[]} madeFrom @param {() => Promise<void>} make
 */
async function unlessMade(folder, madeFrom, make) {
  const hash = createHash("sha256");
  for (const path of madeFrom) hash.update(await readFile(new URL(path, root)));
  const stamp = new URL("made-from", folder);
  const digest = hash.digest("hex");
  if ((await readFile(stamp, "utf8").catch(() => "")) === digest) return;
  await rm(folder, { recursive: true, force: true });
  await make();
  await writeFile(stamp, digest);
}

/** @param {URL} runtime */
async function prepareRuntime(runtime) {
  const manifest = new URL("package.json", runtime);
  const { scripts, ...rest } = JSON.parse(await readFile(manifest, "utf8"));
  if (scripts === undefined) return;
  // macOS: one library under two names, of which the binding asks for the shorter one.
  const libraries = await readdir(new URL("bin/", runtime), { recursive: true });
  for (const name of libraries.filter((name) => /libonnxruntime\.\d+\.\d+\.\d+\.dylib$/.test(name))) {
    await rm(new URL(`bin/${name.replaceAll("\\", "/")}`, runtime));
  }
  // Another file, not other contents: package managers share one among installations.
  const written = new URL("package.json.new", runtime);
  await writeFile(written, `${JSON.stringify(rest, null, 2)}\n`);
  await rename(written, manifest);
}
