import { DataError } from "../errors.ts";
import type { SafetensorsFile, TensorToWrite } from "../files/safetensors-header.ts";
import { featureMap } from "../probe/feature-map.ts";
import { matrix } from "../probe/matrix.ts";
import type { Novelty } from "../probe/novelty.ts";
import { type Probe, probeOf } from "../probe/probe.ts";
import type { ArtifactContent, ImageChunk, WrittenProbe } from "./content.ts";
import type { Manifest } from "./manifest.ts";

const levelNames = ["residualMean", "residualDeviation", "bestMean", "bestDeviation"] as const;

/** What a safetensors file of an artifact holds. */
export interface TensorFile {
  readonly tensors: readonly TensorToWrite[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** `distilled.safetensors`: exact pixels, labels, and the parameters of synthetic images. */
export function setTensors({
  manifest,
  images,
  labels,
  softLabels,
  levels = [],
}: ArtifactContent): TensorFile {
  const { classes, imageSize: size } = manifest;
  const m = labels.length;
  return {
    tensors: [
      { name: "images", dtype: "F32", shape: [m, 3, size, size], data: () => floatsOf(images()) },
      { name: "labels", dtype: "F32", shape: [m, classes.length], data: softLabels },
      { name: "classes", dtype: "I32", shape: [m], data: labels },
      ...levels.map(
        ({ side, values }): TensorToWrite => ({
          name: `level/${side}`,
          dtype: "F32",
          shape: [m, 3, side, side],
          data: values,
        }),
      ),
    ],
    metadata: { format: "clp-dd" },
  };
}

async function* floatsOf(chunks: AsyncIterable<ImageChunk>): AsyncGenerator<Float32Array> {
  for await (const { images } of chunks) yield images;
}

/** `probe.safetensors`: the probe's weight (F64, d × C), its feature map, and what novelty is computed from. */
export function probeTensors({ weight, map, lambda, novelty }: WrittenProbe): TensorFile {
  const vector = (name: string, data: Float64Array): TensorToWrite => ({
    name,
    dtype: "F64",
    shape: [data.length],
    data,
  });
  return {
    tensors: [
      { name: "weight", dtype: "F64", shape: [weight.rows, weight.cols], data: weight.data },
      ...(map.mean ? [vector("mean", map.mean)] : []),
      ...(map.std ? [vector("std", map.std)] : []),
      ...(novelty ? noveltyTensors(novelty) : []),
    ],
    metadata: { format: "clp-dd probe", normalization: map.normalization, lambda: String(lambda) },
  };
}

/** Single precision, which the numbers have; the levels in double. */
function noveltyTensors({ mean, scale, basis, levels }: Novelty): TensorToWrite[] {
  const single = (name: string, shape: readonly number[], data: Float64Array): TensorToWrite => ({
    name: `novelty/${name}`,
    dtype: "F32",
    shape: [...shape],
    data: new Float32Array(data),
  });
  const numbers = Float64Array.from(levelNames, (name) => levels[name]);
  return [
    single("mean", [mean.length], mean),
    single("scale", [scale.length], scale),
    single("basis", [basis.rows, basis.cols], basis.data),
    { name: "novelty/levels", dtype: "F64", shape: [numbers.length], data: numbers },
  ];
}

async function noveltyOfTensors(file: SafetensorsFile, featureSize: number): Promise<Novelty | undefined> {
  if (!file.tensors.has("novelty/basis")) return undefined;
  const single = async (name: string) => new Float64Array(await file.float32(`novelty/${name}`));
  const basis = await single("basis");
  const numbers = await file.float64("novelty/levels");
  const [mean, scale] = [await single("mean"), await single("scale")];
  if (mean.length !== featureSize || scale.length !== featureSize || numbers.length !== levelNames.length) {
    throw new RangeError(`its novelty is not of ${featureSize} features`);
  }
  return {
    mean,
    scale,
    basis: matrix(basis.length / featureSize, featureSize, basis),
    levels: Object.fromEntries(levelNames.map((name, i) => [name, numbers[i]])) as Record<
      (typeof levelNames)[number],
      number
    >,
  };
}

/** The probe of `probe.safetensors`. @param where what errors call the file @throws DataError where it does not fit the manifest */
export async function probeOfTensors(
  file: SafetensorsFile,
  { classes, encoder, probe }: Pick<Manifest, "classes" | "encoder" | "probe">,
  where: string,
): Promise<Probe> {
  try {
    const vector = async (name: "mean" | "std") =>
      file.tensors.has(name) ? { [name]: await file.float64(name) } : {};
    const solved = {
      weight: matrix(encoder.featureSize, classes.length, await file.float64("weight")),
      lambda: probe.lambda,
      map: featureMap({
        normalization: probe.normalization,
        ...(await vector("mean")),
        ...(await vector("std")),
      }),
    };
    return probeOf(solved, probe.calibration, await noveltyOfTensors(file, encoder.featureSize));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DataError(
      `${where} does not fit the manifest beside it: ${error.message}. Copy the artifact again.`,
      { cause: error },
    );
  }
}
