/** The sections that time an encoder's step. */
import { formatBytes, formatPercent } from "../src/format.ts";
import type { DistillSteps } from "./distill-step.ts";
import type { Compared, EncoderStep } from "./encoder-step.ts";
import { peerPython, webPeers } from "./peer.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, ms, nameOf, noted, ratioOf } from "./section-text.ts";
import { usedText, type WebPeers, webPeersTable } from "./web-peers-table.ts";

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

/** What is measured on a card: our precision beside PyTorch's type that uses the same units. */
const cardPairs = {
  cuda: [
    ["float32", "tf32"],
    ["float32", "float32"],
    ["float16", "bfloat16"],
  ],
  webgpu: [
    ["float32", "float32"],
    ["float16", "bfloat16"],
  ],
} as const;

interface CardCase {
  readonly model: string;
  readonly precision: string;
  readonly dtype: string;
}

/** ResNet-50's and ViT-S/16's exact float32 would say nothing that ViT-B/16's does not. */
function cardCases(device: "cuda" | "webgpu", quick: boolean): CardCase[] {
  const pairs = cardPairs[device].filter((_, i) => !quick || i === 0);
  const models = quick ? ["vit-s16"] : ["vit-b16", "vit-s16", "resnet50", "convnext-t"];
  return models.flatMap((model) =>
    pairs
      .filter(([, dtype]) => dtype !== "float32" || device === "webgpu" || model === "vit-b16")
      .map(([precision, dtype]) => ({ model, precision, dtype })),
  );
}

export function gpu(options: BenchOptions): Report {
  const { device, quick, threads } = options;
  if (device !== "cuda" && device !== "webgpu") {
    const command = "npm run bench -- --only gpu --device cuda";
    return { text: `Not run: no --device was given. With a card: ${command} (or webgpu).\n` };
  }
  const cases = cardCases(device, quick);
  const { results, notes } = each(
    cases,
    ({ model, precision, dtype }) => `${device} ${model} ${precision}, PyTorch in ${dtype}`,
    ({ model, precision, dtype }) =>
      child<EncoderStep>(
        "encoder-step.js",
        [
          ...["--model", model, "--device", device, "--precision", precision, "--dtype", dtype],
          ...["--batches", options.batches.includes("1,") ? "8,32" : options.batches, "--seconds", 2],
          ...["--compile", quick ? "" : "32", "--threads", threads],
        ],
        undefined,
        // ONNX Runtime's products are exact where the card is told so; its binding for Node has no option for it.
        dtype === "float32" ? { NVIDIA_TF32_OVERRIDE: "0" } : {},
      ),
  );
  if (results.length === 0) return { text: `Not run.\n${noted(notes)}` };
  const steps = each(
    quick ? [] : (["float32", "float16"] as const),
    (precision) => `${device} whole step, ${precision}`,
    (precision) =>
      child<DistillSteps>("distill-step.js", [
        ...["--model", "vit-b16", "--size", 224, "--m", 10, "--classes", 10, "--seconds", 4, "--pair"],
        ...["--device", device, "--precision", precision, "--threads", threads],
      ]),
  );
  const card = results[0]?.versions.card;
  return {
    text: [
      `${card ?? "The card has no name here"}. ${cardText}`,
      cardRows(results),
      cardDetails(results),
      ...(steps.results.length > 0 ? [stepText, cardSteps(steps.results)] : []),
      noted([...notes, ...steps.notes, ...new Set(results.flatMap((e) => e.notes))]),
    ].join("\n\n"),
  };
}

const cardText =
  "Times from arrays in the host's memory to arrays in the host's memory; PyTorch's images stay on the card. " +
  "`peak`: of products of 4,096 × 4,096 matrices by PyTorch in the type that ours computes in, work that is done twice counted once.";

const stepText =
  "A whole distillation step (ViT-B/16, 10 images of 10 classes, 512 real features a step) against LGM's with its 10 " +
  "augmentations in PyTorch, its float32 products rounded as ours are:";

function cardRows(results: readonly EncoderStep[]): string {
  return formatTable(
    ["model", "ours in", "PyTorch in", "batch", "what", "ms", "peak", "eager", "compiled", "ratio"],
    results.flatMap((e) =>
      e.rows.flatMap((row) =>
        (["features", "step"] as const).map((what) => {
          const { ms: own, shareOfPeak, peer, ratio } = row[what];
          return [
            ...[e.model, e.precision, e.dtype, `${row.batch}`, what, ms(own), formatPercent(shareOfPeak, 0)],
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
    ["model", "ours in", "PyTorch in", "intermediates", "copies ms", "TFLOP/s", "Δ features", "Δ gradient"],
    results.map((e) => [
      ...[e.model, e.precision, e.dtype, e.activations === "save" ? "kept" : "recomputed"],
      e.copiesMs === undefined ? "–" : ms(e.copiesMs),
      (e.peakGflops / 1000).toFixed(0),
      e.agreement?.features.toExponential(1) ?? "–",
      e.agreement?.gradient.toExponential(1) ?? "–",
    ]),
  );
}

function cardSteps(results: readonly DistillSteps[]): string {
  return formatTable(
    ["ours in", "CLP-DD ms", "LGM ms", "ratio"],
    results.map((r) => [
      r.precision,
      ms(r.sides[0]!.msPerStep),
      r.sides[1] ? ms(r.sides[1].msPerStep) : "–",
      ratioOf(r.ratio),
    ]),
  );
}
