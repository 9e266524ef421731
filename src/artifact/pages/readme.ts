import {
  formatBytes,
  formatCount,
  formatMany,
  formatMeanStd,
  formatPercent,
  formatSeconds,
} from "../../format.ts";
import { codeMarkdown as code, inlineMarkdown as inline, printableJson } from "../../printable.ts";
import { editsInWords } from "../edits-in-words.ts";
import { imageCount, type Manifest } from "../manifest.ts";
import { encodersOf, sizedName } from "../recorded-encoders.ts";
import { cardLicenses, rounded } from "./markdown.ts";

/** A data set card (README.md) as the Hugging Face hub has it: what the set is, how to use it, how well it does, licenses. */
export function dataSetCard(manifest: Manifest): string {
  const { encoder, data, metrics, kind, probe } = manifest;
  const m = imageCount(manifest);
  const name = inline(data.name);
  const { preprocessing } = encoder;
  const rows = metrics.rows.map(
    (row) =>
      `| ${inline(row.name)} | ${inline(row.protocol)} | ${formatCount(row.images)} | ${formatMeanStd(row.top1, row.std)} |`,
  );
  return `---
license:
${cardLicenses(data.licenses)
  .map((license) => `  - ${license}`)
  .join("\n")}
task_categories:
  - image-classification
size_categories:
  - ${sizeCategory(m)}
tags:
  - dataset-distillation
  - clp-dd
pretty_name: ${printableJson(`${data.name}, ${kind}`)}
configs:
  - config_name: default
    data_files: images/**/*.png
---

# ${name}: ${kind === "full" ? "the full data's probe" : `${formatCount(m)} ${kind === "distilled" ? "synthetic" : "real"} images`}

${kind === "full" ? fullText(manifest) : imagesText(manifest, m)}

## Results
${
  rows.length === 0
    ? "Nothing was measured: the data set has no test images."
    : `| trained on | probe | images | top-1 |
|---|---|--:|--:|
${rows.join("\n")}

Top-1: share of ${data.counts.test === undefined ? "the" : formatCount(data.counts.test)} real test images classified correctly, measured by the run that made this folder.${
        metrics.random === undefined
          ? ""
          : ` Random images: mean ± standard deviation over ${metrics.random.seeds.length} seeds.`
      }`
}

Closed form: ridge regression with strength λ = ${probe.lambda} · tr(K)/m on features after \`${probe.normalization}\`.${
    probe.usesStatistics
      ? `
It uses statistics of the real training features (${probe.normalization.startsWith("standardize") ? "mean and standard deviation, 2 · " : "the mean, "}${encoder.featureSize} numbers), which are part of this folder
(\`probe.safetensors\`).`
      : ""
  }${
    metrics.fullData === undefined
      ? ""
      : `
On the full data λ = ${metrics.fullData.lambda}, chosen on a held-out tenth of the training images.`
  }
Made in ${formatSeconds(manifest.seconds)}${memoryText(manifest)} (${inline(manifest.machine.browser ?? manifest.machine.cpu)}, ${formatMany(manifest.machine.threads, "thread")}).

${editsText(manifest)}${encodersText(manifest)}## Use
${kind === "full" ? probeUse(manifest) : imagesUse(manifest, m)}

## Preprocessing of real images
Resize: ${
    preprocessing.resize === null
      ? "none"
      : typeof preprocessing.resize === "number"
        ? `shorter edge to ${preprocessing.resize} px, ${preprocessing.interpolation}`
        : `to ${preprocessing.resize.join(" × ")} px, ${preprocessing.interpolation}`
  }; center crop ${preprocessing.crop.join(" × ")}; what is transparent is laid on white; scaled to [0, 1]; mean ${rounded(preprocessing.mean)}; standard deviation ${rounded(preprocessing.std)}
(rounded; \`manifest.json\` has every digit).${
    kind === "full"
      ? ""
      : "\nThe images of this set are used as they are; mean and standard deviation apply to them too."
  }

## Where it comes from
- Encoder: ${code(encoder.id)}${encoder.source ? ` (${inline(encoder.source)})` : ""}, feature ${code(encoder.feature)}, pooling ${inline(encoder.pool)}, license ${
    encoder.license ? inline(encoder.license) : "not known"
  }, sha256 \`${encoder.sha256}\`
${Object.entries(data.fingerprints)
  .map(([split, fingerprint]) => `- Fingerprint of the ${inline(split)} images: ${code(fingerprint)}\n`)
  .join("")}${
  data.licenses.length === 0
    ? "- Images: their license is not known to clp-dd; what is distilled from them may be bound by it. Fill it in before passing this on.\n"
    : data.licenses
        .map(
          ({ name, author, spdx, url }) =>
            `- Images: ${inline(name)} by ${inline(author)}, ${inline(spdx)}, ${inline(url)}\n`,
        )
        .join("")
}${data.notes.map((note) => `- ${inline(note)}\n`).join("")}`;
}

/** Browsers do not say what was used. */
const memoryText = ({ peakMemoryBytes }: Manifest): string =>
  peakMemoryBytes > 0 ? ` with at most ${formatBytes(peakMemoryBytes)} of memory` : "";

/** What a loader's handling costs, for who does not keep the pixels. */
function editsText({ metrics: { edits, closedForm } }: Manifest): string {
  if (edits === undefined || closedForm === undefined) return "";
  return `## After handling
${editsInWords(closedForm.top1, edits)}

| what is done to the images | top-1 |
|---|--:|
| nothing: the exact pixels of \`distilled.safetensors\` | ${formatPercent(closedForm.top1)} |
${edits.each.map(({ name, top1 }) => `| ${name} | ${formatPercent(top1)} |`).join("\n")}
| mean over the edits | ${formatPercent(edits.mean)} |
| worst edit | ${formatPercent(edits.worst)} |

Each edit by itself; the closed form is solved on the edited images. A shift repeats the border.

`;
}

/** What the images are worth under each encoder that they were made for, and how to get at each. */
function encodersText(manifest: Manifest): string {
  const made = encodersOf(manifest);
  if (made.length < 2) return "";
  const percent = (value: number | undefined) => (value === undefined ? "–" : formatPercent(value));
  const rows = made.map(
    ({ encoder, metrics: { closedForm, edits }, file }) =>
      `| \`${inline(sizedName(encoder))}\` | ${encoder.featureSize} | ${percent(closedForm?.top1)} | ${percent(edits?.mean)} | \`${file}\` |`,
  );
  const name = JSON.stringify(sizedName(made[1].encoder));
  return `## Encoders
The images were made for several encoders at once; each sees them resized to its own size. All else on this page is of the
first. \`loadEncoder(set, { encoder: ${name} })\` and \`set.probe(${name})\` are of the second.

| encoder | features | top-1 | mean over the edits | probe |
|---|--:|--:|--:|---|
${rows.join("\n")}

`;
}

function imagesText({ kind, tool, data, config, classes, imageSize, encoder }: Manifest, m: number): string {
  return `${formatCount(m)} ${kind === "distilled" ? "synthetic" : "real"} images, ${config.ipc} of each of ${classes.length} classes, ${imageSize} × ${imageSize} px, ${
    kind === "distilled" ? "distilled" : `chosen (${kind})`
  } by clp-dd ${tool.version}
from ${data.counts.train === undefined ? "the" : formatCount(data.counts.train)} training images. They are made for one purpose:
a linear probe of the frozen encoder ${code(encoder.id)} that is trained on them, in closed form, is to classify
real images.${kind === "distilled" ? " They are not meant to look like photographs." : ""}`;
}

/** What the reader must know before a loader's usual transforms are put between the images and the encoder. */
function handlingWarning({ metrics: { edits, closedForm } }: Manifest): string {
  if (closedForm === undefined || edits === undefined) {
    return `What these images are worth after handling (JPEG, resizing, cropping, mirroring) was not measured. Use them as they are.

`;
  }
  const worst = edits.each.reduce((a, b) => (b.top1 < a.top1 ? b : a));
  return `Use the images as they are, and check what your loader does to them. The probe on them classifies ${formatPercent(closedForm.top1)}; after each
of ${edits.each.length} edits ${formatPercent(edits.mean)} on average, after the worst (${worst.name}) ${formatPercent(worst.top1)}. "After handling" above lists them all.

`;
}

function fullText({ tool, data, encoder }: Manifest): string {
  return `The closed-form linear probe of the frozen encoder ${code(encoder.id)} on all ${
    data.counts.train === undefined ? "" : `${formatCount(data.counts.train)} `
  }training images, solved by clp-dd ${tool.version}:
what sets of few images are compared with. It holds no images.`;
}

function imagesUse(manifest: Manifest, m: number): string {
  const { classes, imageSize, encoder } = manifest;
  return `\`\`\`js
import { loadEncoder, readArtifact } from "clp-dd";

const set = await readArtifact("."); // checks every file's hash
const encoder = await loadEncoder(set); // the set's own encoder, size and feature
const images = await set.images(); // Float32Array [${m}, 3, ${imageSize}, ${imageSize}] in [0, 1]
const features = await encoder.features(images); // ${m} × ${encoder.featureSize}; encoder.encode(["photo.jpg"]) takes files
const probe = await set.probe(); // the probe that was measured
const predicted = probe.predict(features); // class indices
console.log(set.manifest.classes[predicted[0]]);
await encoder.release();
\`\`\`

${handlingWarning(manifest)}In Python, as an image folder (8-bit), with the transform that changes nothing but the scale:
\`\`\`python
from torchvision import datasets, transforms
unchanged = transforms.Compose([
    transforms.ToTensor(),  # no resize, no crop, no flip: the images have the encoder's size
    transforms.Normalize([${rounded(encoder.preprocessing.mean)}], [${rounded(encoder.preprocessing.std)}]),
])
images = datasets.ImageFolder("images", transform=unchanged)
\`\`\`
It numbers the classes in alphabetical order; the tensors below number them as \`manifest.json\` does.

The exact pixels: \`safetensors.torch.load_file("distilled.safetensors")["images"]\` (float32, [${m}, 3, ${imageSize}, ${imageSize}]), with
\`labels\` ([${m}, ${classes.length}], what the probe is solved with), \`classes\` and the parameters \`level/<side>\`.
Folders are class names made safe for every file system; the true names are in \`manifest.json\`.`;
}

function probeUse({ encoder }: Manifest): string {
  return `\`\`\`js
import { loadEncoder, readArtifact } from "clp-dd";

const set = await readArtifact("."); // checks every file's hash
const encoder = await loadEncoder(set); // the set's own encoder, size and feature
const probe = await set.probe(); // probe.predict(await encoder.encode(["photo.jpg"])): class indices
console.log(probe.weight.rows, probe.weight.cols); // ${encoder.featureSize} features, classes
await encoder.release();
\`\`\``;
}

/** The hub's classes of size. */
function sizeCategory(m: number): string {
  if (m < 1000) return "n<1K";
  if (m < 10_000) return "1K<n<10K";
  return m < 100_000 ? "10K<n<100K" : "100K<n<1M";
}
