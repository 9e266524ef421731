import type { Manifest } from "./manifest.ts";

/** A data set card in the Hugging Face hub's form: what the set is, how to use it, how well it does, licences. */
export function dataSetCard(manifest: Manifest): string {
  const { classes, config, encoder, data, metrics, imageSize } = manifest;
  const m = classes.length * config.ipc;
  const spdx = [...new Set(data.licences.map((l) => l.spdx.toLowerCase()))];
  const rows = metrics.rows.map(
    (row) => `| ${row.name} | ${row.protocol} | ${row.images} | ${percent(row.top1, row.std)} |`,
  );
  return `---
${spdx.length > 0 ? `license:\n${spdx.map((l) => `  - ${l}`).join("\n")}\n` : ""}task_categories:
  - image-classification
tags:
  - dataset-distillation
  - clp-dd
pretty_name: ${JSON.stringify(`${data.name}, distilled`)}
---

# ${data.name}, distilled to ${m} images

${m} synthetic images (${config.ipc} per class, ${imageSize} × ${imageSize} px, ${classes.length} classes) on which a linear
probe of the frozen encoder \`${encoder.id}\` is trained in closed form. Made by clp-dd ${manifest.tool.version} from
${data.counts.train ?? 0} images.

| images | probe | number | top-1 on the real test images |
|---|---|---|---|
${rows.join("\n")}

## Use
\`images/<class>/<n>.png\` loads as an image folder anywhere (8-bit). The exact pixels are in
\`distilled.safetensors\` (\`images\`, float32, [${m}, 3, ${imageSize}, ${imageSize}] in [0, 1]; \`labels\`, [${m}, ${classes.length}]).

\`\`\`js
import { readArtifact } from "clp-dd";
const set = await readArtifact(".");
const images = await set.images();
const probe = await set.probe(); // weight d × C and the feature map
\`\`\`

The probe is a ridge regression with strength λ = ${manifest.probe.lambda} · tr(K)/m on features after
\`${manifest.probe.normalization}\`${manifest.probe.usesStatistics ? " (mean and deviation of the real features are part of this artefact: `probe.safetensors`)" : ""}.
Preprocessing: ${JSON.stringify(encoder.preprocessing)}.

## Where it comes from
Encoder: ${encoder.id}${encoder.source ? ` (${encoder.source})` : ""}, sha256 ${encoder.sha256}${encoder.licence ? `, ${encoder.licence}` : ""}.
${data.licences.map((l) => `- ${l.name} by ${l.author}, ${l.spdx}, ${l.url}`).join("\n")}
`;
}

function percent(value: number, std?: number): string {
  const mean = `${(100 * value).toFixed(1)} %`;
  return std === undefined ? mean : `${(100 * value).toFixed(1)} ± ${(100 * std).toFixed(1)} %`;
}
