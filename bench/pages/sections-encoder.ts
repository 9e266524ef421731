/** The sections that time an encoder's step. */
import { formatBytes, formatPercent } from "../../src/format.ts";
import type { Precision } from "../../src/onnx-vjp/graph/runtime.ts";
import { peerPython, webPeers } from "../lib/peer.ts";
import { usedText, type WebPeers, webPeersTable } from "../lib/web-peers-table.ts";
import type { DistillSteps } from "../runs/distill-step.ts";
import type { Compared, EncoderStep } from "../runs/encoder-step.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, ms, nameOf, noted, ratioOf } from "./section-text.ts";

const encoders = [
  ["vit-s16", 224],
  ["efficientnet-lite0", 224],
  ["resnet50", 224],
  ["convnext-t", 224],
  ["efficientnet-lite0", 128],
  ["vit-b16", 224],
  ["dinov2-b14", 224],
] as const;

/** How long --quick waits for a model; if torch.compile takes longer, eager stands alone. */
const quickEncoderSeconds = 85;

function encoderRows(results: readonly EncoderStep[]): string {
  const line = (e: EncoderStep, batch: number, what: string, c: Compared) => [
    nameOf(e.model, e.size),
    String(batch),
    what,
    ms(c.ms),
    formatPercent(c.shareOfPeak, 0),
    c.peer ? ms(c.peer.eager) : "–",
    c.peer?.compiled === undefined ? "–" : ms(c.peer.compiled),
    ratioOf(c.ratio),
  ];
  return formatTable(
    ["model", "batch", "what", "ms", "peak", "eager", "compiled", "ratio"],
    results.flatMap((e) =>
      e.rows.flatMap((row) => [
        line(e, row.batch, "features", row.features),
        line(e, row.batch, "step", row.step),
      ]),
    ),
  );
}

function agreementRows(results: readonly EncoderStep[]): string {
  return formatTable(
    ["model", "Δ features", "Δ gradient", "GFLOP/s", "PyTorch's", "kept"],
    results.map((e) => [
      nameOf(e.model, e.size),
      e.agreement?.features.toExponential(1) ?? "–",
      e.agreement?.gradient.toExponential(1) ?? "–",
      e.peakGflops.toFixed(1),
      e.peerPeakGflops?.toFixed(1) ?? "–",
      formatBytes(e.savedBytesAnImage),
    ]),
  );
}

export function encoderStep({ quick, slow, threads, batches }: BenchOptions): Report {
  const own = encoders.filter(([model]) => model === "efficientnet-lite0");
  const models = quick ? encoders.slice(0, 2) : peerPython() === undefined ? own : encoders;
  const available = models.filter(([model]) => peerPython() !== undefined || model === "efficientnet-lite0");
  const { results, notes } = each(
    available,
    ([model, size]) => `encoder ${nameOf(model, size)}`,
    ([model, size]) =>
      child<EncoderStep>(
        "encoder-step.js",
        [
          ...["--model", model, "--size", size, "--threads", threads, "--compile", slow ? "1,8,32" : "8"],
          ...["--batches", quick ? "8" : batches, "--seconds", quick ? 4 : 6, ...(quick ? ["--early"] : [])],
        ],
        quick ? quickEncoderSeconds : undefined,
      ),
  );
  if (quick && peerPython() !== undefined && results.some((e) => e.compileSeconds === undefined)) {
    notes.push("where torch.compile has no time, it did not end in what --quick gives it");
  }
  const json = Object.fromEntries(
    results.map((e) => {
      const row = e.rows.find(({ batch }) => batch === 8) ?? e.rows.at(-1)!;
      return [nameOf(e.model, e.size), { ratio: row.step.ratio ?? null, shareOfPeak: row.step.shareOfPeak }];
    }),
  );
  const seconds = results.map((e) => e.compileSeconds).filter((s) => s !== undefined);
  const compiling =
    seconds.length > 0 ? `torch.compile took up to ${Math.max(...seconds).toFixed(0)} s a model.\n` : "";
  return {
    text: `${encoderRows(results)}\n\n${agreementRows(results)}\n\n${compiling}${noted([...notes, ...results.flatMap((e) => e.notes)])}`,
    json: { encoderStep: json },
  };
}

export function webStep({ quick, slow, threads }: BenchOptions): Report {
  if (quick) return { text: "Not run with --quick.\n" };
  if (webPeers() === undefined)
    return { text: "Not run: the peers are not installed (bench/peers/setup).\n" };
  const models = peerPython() === undefined ? ["efficientnet-lite0"] : ["vit-s16", "efficientnet-lite0"];
  const { results, notes } = each(
    models,
    (model) => `in the browser: ${model}`,
    (model) =>
      child<WebPeers>("web-peers.js", [
        ...["--model", model, "--batches", slow ? "1,8" : "1", "--threads", threads],
      ]),
  );
  const told = noted([...notes, ...results.flatMap((r) => r.notes)]);
  if (results.length === 0) return { text: told };
  return { text: `${webPeersTable(results)}\n\n${usedText(results)}\n${told}` };
}

/** One row of what is measured on a GPU: our precision beside PyTorch's type that uses the same units. */
interface CardCase {
  readonly device: string;
  readonly model: string;
  readonly precision: Precision;
  readonly dtype: "float32" | "tf32" | "bfloat16";
  readonly batches: string;
  /** Batches that PyTorch compiles for. */
  readonly compile: string;
}

const cardCases: readonly CardCase[] = [
  ["cuda", "vit-b16", "float16", "bfloat16", "32", "32"],
  ["cuda", "vit-b16", "float32", "tf32", "32", "32"],
  ["cuda", "vit-b16", "float32", "float32", "32", ""],
  ["cuda", "vit-s16", "float16", "bfloat16", "8,32", "32"],
  ["cuda", "vit-s16", "float32", "tf32", "8,32", ""],
  ["cuda", "resnet50", "float16", "bfloat16", "32", "32"],
  ["webgpu", "vit-b16", "float32", "float32", "32", ""],
  ["webgpu", "vit-b16", "float16", "bfloat16", "32", ""],
  ["cuda", "resnet50", "float32", "tf32", "32", ""],
  ["webgpu", "resnet50", "float32", "float32", "32", ""],
].map(
  ([device, model, precision, dtype, batches, compile]) =>
    ({ device, model, precision, dtype, batches, compile }) as CardCase,
);

export function gpu({ device, quick, threads }: BenchOptions): Report {
  const devices = new Set(device?.split(","));
  const wanted = cardCases.filter((each) => devices.has(each.device));
  if (wanted.length === 0) {
    const command = "npm run bench -- --only gpu --device cuda,webgpu";
    return { text: `Not run: no --device was given. With a GPU: ${command}\n` };
  }
  // Of the device that is named first.
  const [first] = devices;
  const steps = each(
    quick ? [] : (["float16", "float32"] as const).map((precision) => [first!, precision] as const),
    ([d, precision]) => `${d}, a whole step in ${precision}`,
    ([d, precision]) =>
      child<DistillSteps>("distill-step.js", [
        ...["--model", "vit-b16", "--size", 224, "--m", 10, "--classes", 10, "--seconds", 3, "--pair"],
        ...["--device", d, "--precision", precision, "--threads", threads],
      ]),
  );
  const { results, notes } = each(
    quick ? wanted.slice(0, 1) : wanted,
    (c) => `${c.device} ${c.model} ${c.precision}, PyTorch in ${c.dtype}`,
    (c) =>
      child<EncoderStep>(
        "encoder-step.js",
        [
          ...["--model", c.model, "--device", c.device, "--precision", c.precision, "--dtype", c.dtype],
          ...[
            "--batches",
            c.batches,
            "--compile",
            c.compile,
            "--seconds",
            1,
            "--threads",
            threads,
            "--early",
          ],
        ],
        undefined,
        // Exact products: ONNX Runtime's binding for Node has no option for them.
        c.dtype === "float32" ? { NVIDIA_TF32_OVERRIDE: "0" } : {},
      ),
  );
  const card = results.map((e) => e.versions.card).find((name) => name !== undefined);
  const torch = results.map((e) => e.versions.torch).find((name) => name !== undefined);
  return {
    text: [
      `${card ?? "The GPU's name is not known here"}${torch ? `, PyTorch ${torch}` : ""}. ${gpuText}`,
      ...(results.length > 0 ? [cardRows(results), cardDetails(results)] : []),
      ...(steps.results.length > 0 ? [stepText, cardSteps(steps.results)] : []),
      noted([...notes, ...steps.notes, ...new Set(results.flatMap((e) => e.notes))]),
    ].join("\n\n"),
  };
}

const gpuText =
  "Times from arrays in the host's memory to arrays in the host's memory; PyTorch's images stay on the GPU. " +
  "`peak`: of the rate of products of 4,096 × 4,096 matrices by PyTorch (TFLOP/s) in the type that ours computes in, " +
  "what is computed twice counted once. `kept`: the forward's intermediates between forward and pullback. `copies`: " +
  "the largest batch's images to the GPU twice and their gradient back once.";

const stepText =
  "A whole distillation step (ViT-B/16, 10 images of 10 classes, 512 real features per step) against LGM's with its 10 " +
  "augmentations in PyTorch, its float32 products rounded as ours are:";

function cardRows(results: readonly EncoderStep[]): string {
  return formatTable(
    ["device", "model", "ours in", "PyTorch in", "batch", "what", "ms", "peak", "eager", "compiled", "ratio"],
    results.flatMap((e) =>
      e.rows.flatMap((row) =>
        (["features", "step"] as const).map((what) => {
          const { ms: own, shareOfPeak, peer, ratio } = row[what];
          return [
            ...[e.device, e.model, e.precision, e.dtype, `${row.batch}`, what, ms(own)],
            formatPercent(shareOfPeak, 0),
            peer ? ms(peer.eager) : "–",
            peer?.compiled === undefined ? "–" : ms(peer.compiled),
            ratioOf(ratio),
          ];
        }),
      ),
    ),
  );
}

function cardDetails(results: readonly EncoderStep[]): string {
  return formatTable(
    ["device", "model", "ours in", "PyTorch in", "kept", "copies ms", "TFLOP/s", "Δ features", "Δ gradient"],
    results.map((e) => [
      ...[e.device, e.model, e.precision, e.dtype, e.activations === "save" ? "on the GPU" : "nothing"],
      e.copiesMs === undefined ? "–" : ms(e.copiesMs),
      (e.peakGflops / 1000).toFixed(0),
      e.agreement?.features.toExponential(1) ?? "–",
      e.agreement?.gradient.toExponential(1) ?? "–",
    ]),
  );
}

function cardSteps(results: readonly DistillSteps[]): string {
  return formatTable(
    ["device", "ours in", "CLP-DD ms", "LGM ms", "ratio"],
    results.map((r) => [
      ...[r.device, r.precision],
      ms(r.sides[0].msPerStep),
      r.sides[1] ? ms(r.sides[1].msPerStep) : "–",
      ratioOf(r.ratio),
    ]),
  );
}
