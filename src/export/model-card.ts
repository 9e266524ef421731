import { cardLicenses, rounded } from "../artifact/pages/markdown.ts";
import { formatBytes, formatCount, formatPercent } from "../format.ts";
import { inlineMarkdown as inline } from "../printable.ts";
import { type ExportedSet, unknownLogit } from "./config-files.ts";
import type { OnnxFiles } from "./onnx-files.ts";
import type { ExportDtype } from "./storage.ts";

/** What a way of storing weights costs, on real images. */
export interface StorageLoss {
  readonly dtype: ExportDtype;
  readonly images: number;
  /** Share of the images with the same class as in float32. */
  readonly agreement: number;
  /** Shares that are classified correctly, in this type and in float32. */
  readonly top1: number;
  readonly exactTop1: number;
}

/** The files of an export, as its card describes them. */
export interface CardFiles {
  readonly files: readonly [OnnxFiles, ...OnnxFiles[]];
  /** The only number of pictures at once, where the encoder's file fixes it. */
  readonly batch: number | undefined;
  readonly losses: readonly StorageLoss[];
  /** What losses were measured on. */
  readonly measuredOn?: string | undefined;
}

const howStored: Readonly<Record<ExportDtype, string>> = {
  fp32: "float32",
  fp16: "float16, computed in float32",
  q8: "8-bit integers with a scale per channel, computed in float32",
};

/** A model card in the hub's form. */
export function modelCard(set: ExportedSet, { files, batch, losses, measuredOn }: CardFiles): string {
  const { classes, encoder, data, kind, tool, metrics } = set;
  const name = inline(data.name);
  const main = `onnx/${files[0].name}`;
  const unknown = unknownLogit(set);
  const licenses = [
    ...new Set([
      ...(encoder.license ? [encoder.license.toLowerCase()] : ["unknown"]),
      ...cardLicenses(data.licenses),
    ]),
  ];
  const top1 = metrics.closedForm?.top1;
  return `---
license:
${licenses.map((license) => `  - ${license}`).join("\n")}
pipeline_tag: image-classification
library_name: transformers.js
tags:
  - onnx
  - clp-dd
  - dataset-distillation
---

# ${name}: a classifier of ${formatCount(classes.length)} classes

One ONNX file from pictures to class scores: resize, crop and normalization, the frozen encoder \`${inline(encoder.id)}\`, and a
linear probe, exported by clp-dd ${tool.version}. The probe was solved on ${probeSource(kind)}.${
    top1 === undefined
      ? ""
      : ` Accuracy on ${data.counts.test === undefined ? "the" : formatCount(data.counts.test)} real test images: ${formatPercent(top1)}.`
  }

Classes: ${classes.length > 100 ? `${classes.slice(0, 100).map(inline).join(", ")}, … (\`config.json\` lists all)` : classes.map(inline).join(", ")}.

## Use
Pictures may have any size: they are resized in the graph, with antialiasing, as the probe's training images were.
${
  batch === undefined
    ? "A batch is pictures of one size; give pictures of different sizes one by one."
    : `The encoder's file fixes the batch: give ${batch === 1 ? "one picture" : `${batch} pictures`} at a time.`
}

In JavaScript, with transformers.js, in Node or in a browser:
\`\`\`js
import { pipeline } from "@huggingface/transformers";

const classify = await pipeline("image-classification", "OWNER/NAME");
console.log(await classify("photo.jpg", { top_k: 3 })); // [{ label, score }, …]; scores are probabilities
\`\`\`

From a folder instead of the hub: \`import { env } from "@huggingface/transformers"\`, \`env.localModelPath = "/path/to/"\`, and the
folder's name in place of \`OWNER/NAME\`; in a browser \`env.allowLocalModels = true\`, too.

In Python, with ONNX Runtime (\`pip install numpy onnxruntime pillow\`):
\`\`\`python
import json
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("${main}")
classes = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGBA")
pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
(logits,) = session.run(["logits"], {"pixel_values": pixels})
probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
print(classes[logits.argmax()], probabilities.max())
\`\`\`

With ONNX Runtime in any language: \`pixel_values\` [batch, channels, height, width], float32 in [0, 1]; three channels (red, green,
blue), four with opacity, which is laid on white, or one of gray. \`logits\` [batch, ${classes.length}]: their softmax are probabilities${
    set.probe.calibration
      ? " (the temperature is in the graph)"
      : "; the set records no temperature, so these are not calibrated"
  }.
The file's metadata have the class names (\`class_names\`), the size after the resize, mean and standard deviation.
${
  unknown === undefined
    ? ""
    : `
A picture whose best logit is below ${unknown.toPrecision(6)} may be of none of the classes: ${formatPercent(set.probe.calibration!.falseAlarms)} of the training images are.
`
}
## Files
| file | weights | size |${losses.length > 0 ? " same class as float32 | top-1 | in float32 |" : ""}
|---|---|--:|${losses.length > 0 ? "--:|--:|--:|" : ""}
${files.map((file) => fileRow(file, losses)).join("\n")}
${losses.length > 0 ? `\nMeasured on ${formatCount(losses[0].images)} images of ${measuredOn ? inline(measuredOn) : "the data set"}.\n` : ""}
\`config.json\` names \`${files[0].dtype}\` as the type that transformers.js takes by default.

## Preprocessing, in the graph
Opacity laid on white; ${resizeText(set)}; center crop ${encoder.preprocessing.crop.join(" × ")}; mean ${rounded(encoder.preprocessing.mean)}; standard deviation ${rounded(encoder.preprocessing.std)}.

## Where it comes from
- Encoder: \`${inline(encoder.id)}\`${encoder.source ? ` (${inline(encoder.source)})` : ""}, feature \`${inline(encoder.feature)}\`, pooling ${inline(encoder.pool)}, license ${
    encoder.license ? inline(encoder.license) : "not known"
  }, sha256 \`${encoder.sha256}\`
- Data set: ${name}${data.counts.train === undefined ? "" : `, ${formatCount(data.counts.train)} training images`}
${Object.entries(data.fingerprints)
  .map(([split, fingerprint]) => `- Fingerprint of the ${split} images: \`${fingerprint}\`\n`)
  .join("")}${
  data.licenses.length === 0
    ? "- Images: their license is not known to clp-dd; a probe made from them may be bound by it. Fill it in before passing this on.\n"
    : data.licenses
        .map(
          ({ name: title, author, spdx, url }) =>
            `- Images: ${inline(title)} by ${inline(author)}, ${inline(spdx)}, ${inline(url)}\n`,
        )
        .join("")
}${data.notes.map((note) => `- ${inline(note)}\n`).join("")}`;
}

const probeSource = (kind: ExportedSet["kind"]): string =>
  kind === "distilled"
    ? "a few distilled, synthetic images"
    : kind === "full"
      ? "all training images"
      : `a few real training images (${kind})`;

function fileRow(file: OnnxFiles, losses: readonly StorageLoss[]): string {
  const loss = losses.find(({ dtype }) => dtype === file.dtype);
  const names = [file.name, ...file.weights.map(({ name }) => name)].map(
    (name) => `\`onnx/${inline(name)}\``,
  );
  const columns = [names.join(", "), howStored[file.dtype], formatBytes(file.bytes)];
  const measured = loss && [loss.agreement, loss.top1, loss.exactTop1].map((share) => formatPercent(share));
  return `| ${[...columns, ...(losses.length > 0 ? (measured ?? ["", "", ""]) : [])].join(" | ")} |`;
}

function resizeText({ encoder: { preprocessing } }: ExportedSet): string {
  const { resize, interpolation } = preprocessing;
  if (resize === null) return "no resize";
  const to = typeof resize === "number" ? `shorter edge to ${resize} px` : `to ${resize.join(" × ")} px`;
  return `${to}, ${interpolation} with antialiasing`;
}
