/** The sections that time an encoder's step. */
import { formatBytes, formatPercent } from "../src/format.ts";
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

export function gpu({ device, quick, threads }: BenchOptions): Report {
  const command = "npm run bench -- --only gpu --device cuda";
  if (device === undefined || device === "cpu") {
    return { text: `Not run: no --device was given. With a card: ${command} (or webgpu).\n` };
  }
  const cases = ["vit-s16", "vit-b16", "resnet50"].flatMap((model) =>
    (device === "cuda" ? ["float32", "bfloat16"] : ["float32"]).map((dtype) => ({ model, dtype })),
  );
  const { results, notes } = each(
    quick ? cases.slice(0, 1) : cases,
    ({ model, dtype }) => `${device} ${model}, PyTorch in ${dtype}`,
    ({ model, dtype }) =>
      child<EncoderStep>("encoder-step.js", [
        ...[
          "--model",
          model,
          "--device",
          device,
          "--dtype",
          dtype,
          "--batches",
          "8,32",
          "--threads",
          threads,
        ],
      ]),
  );
  const card = results[0]?.versions.card;
  if (results.length === 0) return { text: `Not run.\n${noted(notes)}With a card: ${command}\n` };
  return {
    text: `${card ? `${card}. ` : ""}Ours in float32; PyTorch in the type named.\n\n${formatTable(
      ["model", "PyTorch in", "batch", "ours ms", "of peak", "PyTorch ms", "ratio"],
      results.flatMap((e) =>
        e.rows.map((row) => [
          ...[e.model, e.dtype, `${row.batch}`, ms(row.step.ms), formatPercent(row.step.shareOfPeak)],
          row.step.peer
            ? ms(Math.min(row.step.peer.eager, row.step.peer.compiled ?? row.step.peer.eager))
            : "–",
          ratioOf(row.step.ratio),
        ]),
      ),
    )}\n\n${noted(notes)}Repeat with: ${command}\n`,
  };
}
