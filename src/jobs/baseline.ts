import { resolve } from "node:path";
import type { ImageChunk } from "../artifact/content.ts";
import type { Manifest } from "../artifact/manifest.ts";
import { outFolder, requireOutside, requireWritableOut } from "../artifact/out-folder.ts";
import { readArtifact } from "../artifact/read-artifact.ts";
import { writeArtifact } from "../artifact/write-artifact.ts";
import type { JobContext } from "../context.ts";
import { listed } from "../data/image-source.ts";
import { dataFolder } from "../data/open-data-set.ts";
import { pickImages } from "../data/pick.ts";
import { DataError, InterruptedError, UsageError } from "../errors.ts";
import { evaluateRun, measureRunEdits } from "../evaluate/evaluate-run.ts";
import { openRunContext, type RunContext } from "../features/run-context.ts";
import { formatMany } from "../format.ts";
import type { Edit } from "../images/edits.ts";
import { stageCollector } from "../memory.ts";
import { fitClosedFormOnRows } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { fitFullData } from "../probe/full-data.ts";
import { centeredOneHot } from "../probe/labels.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { centroidImages, randomImages } from "../select/coresets.ts";
import { herdingImages } from "../select/herding.ts";
import { kmeansImages } from "../select/kmeans.ts";
import { neighborImages } from "../select/neighbors.ts";
import { calibrateAt } from "./calibrate-at.ts";
import { describeRun, fingerprintsOf } from "./describe.ts";
import { parseConfig, withMirror } from "./distill.ts";
import type { BaselineParams } from "./params.ts";
import type { DistillSummary } from "./summary.ts";

/** Images that are decoded and written at a time. */
const chunkImages = 32;

/**
 * Chooses real images as a baseline does and writes them as an artifact, with the closed-form probe that is
 * solved on them; `full` writes the probe of all training images, and no image. Features are read from the
 * cache class by class.
 */
export async function runBaseline(params: BaselineParams, context: JobContext): Promise<DistillSummary> {
  const { kind } = params;
  const asked = parseConfig(kind === "full" ? { ...params.config, ipc: 1 } : params.config);
  const out = await outFolder(params.out);
  await requireWritableOut(out, params.overwrite === true);
  await requireOutside(out, dataFolder(params.data));
  const { stages, staged } = stageCollector();
  const place = await staged("features of the real images", () =>
    openRunContext(params, context, { leastPerClass: asked.ipc }),
  );
  try {
    const { source, train, test, gemm } = place;
    const matters = kind !== "full" && test !== undefined && params.edits !== false;
    const config = matters ? await withMirror(asked, place, context) : asked;
    const classes = source.classes.length;
    const [map] = (await fitFeatureMaps(config.normalize.slice(0, 1), train)) as [FeatureMap];
    const { rows, probe } = await staged(kind === "full" ? "probe" : "choice of images", async () => {
      if (kind === "full") {
        return { rows: new Int32Array(0), probe: await fitFullData(train, classes, map, gemm) };
      }
      const chosen = await choose(params, config, place, context);
      return {
        rows: chosen,
        probe: await fitClosedFormOnRows(train, chosen, classes, map, config.lambda, gemm),
      };
    });
    const { seconds } = stages.at(-1)!;
    const labels = Int32Array.from(rows, (row) => train.labels[row]);
    const calibration = await staged("calibration", () =>
      calibrateAt(place, probe, kind === "full" ? "all" : rows),
    );
    // The full data are what others are compared with.
    const compared =
      params.baselines === false || kind === "full"
        ? undefined
        : { ipc: config.ipc, map, lambda: config.lambda };
    const oneHot = centeredOneHot(labels, classes);
    const edited = {
      featuresOf: (edit: Edit) => editedFeatures(place, rows, edit),
      labels: oneHot,
      mirror: config.mirror ?? true,
    };
    const edits = matters
      ? await staged("edits", () => measureRunEdits(probe, test, gemm, edited, context))
      : undefined;
    const evaluation =
      test &&
      (await staged("evaluation", () => evaluateRun(probe, calibration, test, place, compared, context)));
    const manifest = await staged("artifact", async () =>
      writeArtifact(
        out,
        {
          manifest: describeRun(place, {
            kind,
            config,
            command: params.command,
            threads: params.threads,
            lambda: probe.lambda,
            calibration,
            tau: config.tau,
            stages,
            ...evaluation,
            ...(edits ? { edits } : {}),
            seconds,
            fingerprints: await fingerprintsOf(place),
          }),
          images: () => realImages(place, rows),
          labels,
          softLabels: Float32Array.from(oneHot.data),
          probe: { ...probe, novelty: calibration.novelty },
          curve: [],
        },
        { overwrite: params.overwrite === true },
      ),
    );
    return {
      out,
      manifest: { ...manifest, stages },
      seconds,
      peakMemoryBytes: manifest.peakMemoryBytes,
    };
  } finally {
    await place.release();
  }
}

/** Rows of the training features that the baseline takes, in class order. */
async function choose(
  { kind, of }: BaselineParams,
  { ipc, seed }: DistillConfig,
  place: RunContext,
  context: JobContext,
): Promise<Int32Array> {
  const { train, source, gemm } = place;
  const classes = source.classes.length;
  const onClass = (c: number) => {
    context.progress({ stage: "Choosing images", done: c + 1, total: classes, unit: "classes" });
    if (context.signal.aborted) throw new InterruptedError("Stopped while choosing images.");
  };
  switch (kind) {
    case "random":
      return randomImages(train.labels, classes, ipc, seed);
    case "centroid":
      return centroidImages(train, classes, ipc);
    case "kmeans":
      return kmeansImages(train, classes, ipc, seed, { gemm, onClass });
    case "herding":
      return herdingImages(train, classes, ipc, { onClass });
    case "neighbors":
      return neighborImages(train, classes, ipc, await distilledFeatures(of, place, ipc), { onClass });
    case "full":
      throw new RangeError("the full data is not chosen from");
  }
}

/** Features of the set whose neighbors are looked for. */
async function distilledFeatures(
  of: string | undefined,
  { source, encoder }: RunContext,
  ipc: number,
): Promise<Float32Array> {
  if (of === undefined) {
    throw new UsageError("The baseline neighbors needs `of`: the distilled set whose neighbors it takes.");
  }
  const artifact = await readArtifact(resolve(of));
  requireSameClasses(artifact.manifest, source.classes, of);
  const [height, width] = encoder.preprocessing.crop;
  if (artifact.manifest.config.ipc !== ipc || artifact.manifest.kind === "full") {
    throw new UsageError(
      `${of} has ${formatMany(artifact.manifest.config.ipc, "image")} per class, \`ipc\` is ${ipc}. Give the same number.`,
    );
  }
  if (artifact.manifest.imageSize !== height || height !== width) {
    throw new UsageError(
      `${of} has images of ${artifact.manifest.imageSize} px, the encoder takes ${height} × ${width} px. ` +
        `Give \`size: ${artifact.manifest.imageSize}\`.`,
    );
  }
  return encoder.features(await artifact.images(), artifact.labels.length);
}

/** Throws DataError unless an artifact has the classes of a data set, in the same order. */
export function requireSameClasses(
  { classes }: Pick<Manifest, "classes">,
  expected: readonly string[],
  where: string,
): void {
  if (expected.join("\0") === classes.join("\0")) return;
  throw new DataError(
    `${where} has the classes ${listed(classes, 4)}, the data set ${listed(expected, 4)}: ` +
      "expected the same ones in the same order.",
  );
}

async function* realImages(
  { source, train, encoder }: RunContext,
  rows: Int32Array,
): AsyncGenerator<ImageChunk> {
  for (let start = 0; start < rows.length; start += chunkImages) {
    const indices = Int32Array.from(
      rows.subarray(start, start + chunkImages),
      (row) => train.imageIndices?.[row] ?? row,
    );
    const images = await pickImages(source, "train", indices, encoder.preprocessing);
    yield { start, count: indices.length, images };
  }
}

/** Features of the chosen images as an edit leaves them. */
async function editedFeatures(place: RunContext, rows: Int32Array, edit: Edit): Promise<Float32Array> {
  const { encoder } = place;
  const out = new Float32Array(rows.length * encoder.featureSize);
  for await (const { start, count, images } of realImages(place, rows)) {
    const edited = await edit.apply(images, encoder.preprocessing.crop[0], start);
    out.set(await encoder.features(edited, count), start * encoder.featureSize);
  }
  return out;
}
