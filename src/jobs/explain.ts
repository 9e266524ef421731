import { basename, extname, resolve } from "node:path";
import { Tensor } from "onnxruntime-common";
import { readArtifact } from "../artifact/read-artifact.ts";
import type { JobContext } from "../context.ts";
import { nameOfInput } from "../data/given-images.ts";
import { featuresOutput, imagesInput } from "../encoder/batched-features.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { InterruptedError, messageOf, UsageError } from "../errors.ts";
import { deltaInput, explainGraph, scoresOutput } from "../explain/explain-graph.ts";
import { gradCam, gradientTimesInput, type HeatMap } from "../explain/heat.ts";
import { overlay, pngOf } from "../explain/overlay.ts";
import { type SpatialTensor, spatialTensor } from "../explain/spatial-tensor.ts";
import { writeNewFile } from "../files/new-file.ts";
import { encoderInput } from "../images/input.ts";
import { compileDerivative, type Differentiable } from "../onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../onnx-vjp/compile/plan.ts";
import { sizeOf } from "../onnx-vjp/graph/ir.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { argmaxRows } from "../probe/labels.ts";
import { matrix } from "../probe/matrix.ts";
import { softmaxRows } from "../probe/probabilities.ts";
import type { Probe } from "../probe/probe.ts";
import type { UnreadableImage } from "./classify.ts";
import { openSet } from "./open-set.ts";
import type { ExplainMethod, ExplainParams, WriteExplanationsParams } from "./params.ts";

/** Why an image is of a class. */
export interface Explanation {
  /** Its path, or "image 3" for one that was given without. */
  readonly image: string;
  /** The class that is explained: the likeliest, unless another was asked for. */
  readonly class: string;
  readonly index: number;
  readonly score: number;
  /** Absent for sets of earlier versions, which record no temperature. */
  readonly probability?: number;
  /** Over the places of `tensor`; from 0. */
  readonly gradCam: HeatMap & { readonly tensor: string };
  /** Over the pixels that the encoder sees; positive where they speak for the class, negative where against it. */
  readonly gradientTimesInput: HeatMap;
  /** The part of the image that the encoder sees, a PNG. */
  readonly view: Uint8Array;
  /** PNGs: heat laid over that part, enlarged. */
  readonly overlays: { readonly gradCam: Uint8Array; readonly gradientTimesInput: Uint8Array };
}

/** What the job gives back, image by image in the order given. */
export interface Explanations {
  readonly images: readonly (Explanation | UnreadableImage)[];
  /** The tensor of Grad-CAM, and what it is: "map [1280, 7, 7]". */
  readonly tensor: { readonly name: string; readonly shown: string };
}

/** Where an image's pictures were written. */
export interface WrittenExplanation extends Pick<Explanation, "image" | "class" | "score" | "probability"> {
  readonly gradCam?: string;
  readonly gradientTimesInput?: string;
}

/** What the job that writes pictures gives back, image by image in the order given. */
export interface WrittenExplanations extends Pick<Explanations, "tensor"> {
  readonly images: readonly (WrittenExplanation | UnreadableImage)[];
}

/** Smoothing of gradient × input in overlays, as a share of the shorter side. */
const smoothing = 0.015;

/**
 * Explains what a set's probe makes of images: Grad-CAM at a tensor of the encoder, and gradient × input, of the class's score.
 * @throws UsageError without images, for an unknown class or tensor; ModelError when the encoder is another one than the set's,
 *   has no gradient, or no map of the image
 */
export async function explainImages(params: ExplainParams, context: JobContext): Promise<Explanations> {
  const images: (Explanation | UnreadableImage)[] = [];
  const tensor = await explainEach(params, context, async (found) => {
    images.push(found);
  });
  return { images, tensor };
}

/**
 * The same, with the pictures written into a folder as they are made: however many images there are, one is held.
 * Pictures are new files, named after the image: "a.grad-cam.png".
 */
export async function writeExplanations(
  { out, methods, ...params }: WriteExplanationsParams,
  context: JobContext,
): Promise<WrittenExplanations> {
  const images: (WrittenExplanation | UnreadableImage)[] = [];
  const tensor = await explainEach(params, context, async (found) => {
    if ("unreadable" in found) {
      images.push(found);
      return;
    }
    const { image, overlays, class: name, score, probability } = found;
    const stem = basename(image, extname(image));
    const write = (method: ExplainMethod, bytes: Uint8Array) =>
      methods.includes(method) ? writeNewFile(out, `${stem}.${method}.png`, bytes) : undefined;
    const [gradCam, gradientTimesInput] = [
      await write("grad-cam", overlays.gradCam),
      await write("gradient", overlays.gradientTimesInput),
    ];
    images.push({
      ...{ image, class: name, score },
      ...(probability === undefined ? {} : { probability }),
      ...(gradCam === undefined ? {} : { gradCam }),
      ...(gradientTimesInput === undefined ? {} : { gradientTimesInput }),
    });
  });
  return { images, tensor };
}

/** Explains images one after the other, by one compiled graph. @returns the tensor of Grad-CAM */
async function explainEach(
  params: ExplainParams,
  context: JobContext,
  onImage: (found: Explanation | UnreadableImage) => Promise<void>,
): Promise<Explanations["tensor"]> {
  const { set, images, tensor: asked, class: className, ...options } = params;
  if (images.length === 0) throw new UsageError("No image was given. Give files, folders or patterns.");
  const artifact = await readArtifact(resolve(set));
  const { classes } = artifact.manifest;
  const given = className === undefined ? undefined : classes.indexOf(className);
  if (given === -1) {
    throw new UsageError(
      `The set has no class "${className}". Its classes are ${classes.slice(0, 20).join(", ")}${classes.length > 20 ? ", …" : ""}.`,
    );
  }
  const { probe, encoder, runtime } = await openSet(artifact, options, context);
  try {
    encoder.requirePullback();
    const explainer = await openExplainer(runtime, encoder, probe, asked);
    try {
      for (const [i, image] of images.entries()) {
        if (context.signal.aborted) throw new InterruptedError("Stopped while explaining images.");
        context.progress({ stage: "Explaining", done: i, total: images.length, unit: "images" });
        const name = nameOfInput(image, i);
        const pixels = await encoderInput([image], encoder.preprocessing).catch((error: unknown) =>
          messageOf(error),
        );
        await onImage(
          typeof pixels === "string"
            ? { image: name, unreadable: pixels }
            : { image: name, ...(await explainer.explain(pixels, classes, given)) },
        );
      }
      context.progress({ stage: "Explaining", done: images.length, total: images.length, unit: "images" });
      const { name, shown } = explainer.tensor;
      return { name, shown };
    } finally {
      await explainer.release();
    }
  } finally {
    await encoder.release();
  }
}

interface Explainer {
  readonly tensor: SpatialTensor;
  /** @param pixels planar 8-bit RGB; @param index the class, or the likeliest */
  explain(
    pixels: Uint8Array,
    classes: readonly string[],
    index?: number,
  ): Promise<Omit<Explanation, "image">>;
  release(): Promise<void>;
}

async function openExplainer(
  runtime: Runtime,
  encoder: Encoder,
  probe: Probe,
  asked: string | undefined,
): Promise<Explainer> {
  const batch = encoder.fixedBatch ?? 1;
  const { crop, mean } = encoder.preprocessing;
  const [height, width] = crop;
  const graph = await encoder.tracedGraph(batch);
  const tensor = spatialTensor(graph, featuresOutput, { name: imagesInput, batch, height, width }, asked);
  const plan = planDerivative(
    explainGraph(graph, tensor.name, probe),
    [imagesInput, deltaInput],
    [scoresOutput, tensor.name],
  );
  const f: Differentiable = await compileDerivative(runtime, plan, "recompute", {
    precision: encoder.precision,
  });
  const zeros = new Float32Array(sizeOf(tensor.dims));
  const each = zeros.length / batch;
  const classCount = probe.weight.cols;
  return {
    tensor,
    release: () => f.release(),
    async explain(pixels, classes, given) {
      // A file that fixes the batch gets the same image in every place; the first is looked at.
      const image = Float32Array.from(pixels, (byte) => byte / 255);
      const all = new Float32Array(batch * image.length);
      for (let k = 0; k < batch; k++) all.set(image, k * image.length);
      const feeds = {
        [imagesInput]: new Tensor("float32", all, [batch, 3, height, width]),
        [deltaInput]: new Tensor("float32", zeros, [...tensor.dims]),
      };
      const { values, saved } = await f.forward(feeds);
      const scores = Float64Array.from((values[scoresOutput].data as Float32Array).subarray(0, classCount));
      const index = given ?? argmaxRows(matrix(1, classCount, scores))[0];
      const cotangent = new Float32Array(batch * classCount);
      cotangent[index] = 1;
      const gradients = await f.pullback(feeds, saved, { [scoresOutput]: cotangent });
      const activations = (values[tensor.name].data as Float32Array).subarray(0, each);
      const cam = gradCam(tensor, activations, gradients[deltaInput].subarray(0, each));
      const input = gradientTimesInput(image, gradients[imagesInput].subarray(0, image.length), mean, crop);
      const { calibration } = probe;
      return {
        class: classes[index],
        index,
        score: scores[index],
        ...(calibration
          ? { probability: softmaxRows(matrix(1, classCount, scores), calibration.temperature).data[index] }
          : {}),
        gradCam: { tensor: tensor.name, ...cam },
        gradientTimesInput: input,
        view: await pngOf(pixels, crop),
        overlays: {
          gradCam: await overlay(pixels, crop, cam),
          gradientTimesInput: await overlay(pixels, crop, input, smoothing * Math.min(height, width)),
        },
      };
    },
  };
}
