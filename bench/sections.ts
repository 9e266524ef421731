import { formatTable as format } from "../src/cli/table.ts";
import { formatBytes, formatPercent } from "../src/format.ts";
import type { DistillSteps } from "./distill-step.ts";
import type { Compared, EncoderStep } from "./encoder-step.ts";
import type { Extraction } from "./extraction.ts";
import type { Growth } from "./growth.ts";
import { growthSvg } from "./growth-chart.ts";
import { peerPython, webPeers } from "./peer.ts";
import type { ProbeBench } from "./probe.ts";
import { type BenchOptions, child, failure, type Report, type Section } from "./section.ts";
import { usedText, type WebPeers, webPeersTable } from "./web-peers-table.ts";

const ms = (value: number): string => value.toFixed(value < 99.95 ? 1 : 0);
const ratioOf = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));
const noted = (notes: readonly string[]): string =>
  [...new Set(notes)].map((note) => `${note[0]!.toUpperCase()}${note.slice(1)}.\n`).join("");

/** A table, or nothing where all of it was not run. */
const formatTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  rows.length === 0 ? "" : format(head, rows);

/** Runs `work` for each item; what fails is told and the others go on. */
function each<Item, T>(items: readonly Item[], name: (item: Item) => string, work: (item: Item) => T) {
  const results: T[] = [];
  const notes: string[] = [];
  for (const item of items) {
    process.stderr.write(`  ${name(item)}\n`);
    try {
      results.push(work(item));
    } catch (error) {
      notes.push(`${name(item)} was not run: ${failure(error)}`);
    }
  }
  return { results, notes };
}

const encoders = [
  ["vit-s16", 224],
  ["efficientnet-lite0", 224],
  ["resnet50", 224],
  ["convnext-t", 224],
  ["efficientnet-lite0", 128],
  ["vit-b16", 224],
  ["dinov2-b14", 224],
] as const;
const nameOf = (model: string, size: number): string => (size === 224 ? model : `${model}@${size}`);

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
    ["model", "Δ features", "Δ gradient", "GFLOP/s", "kept an image"],
    results.map((e) => [
      nameOf(e.model, e.size),
      e.agreement?.features.toExponential(1) ?? "–",
      e.agreement?.gradient.toExponential(1) ?? "–",
      e.peakGflops.toFixed(1),
      formatBytes(e.savedBytesAnImage),
    ]),
  );
}

function encoderStep({ quick, slow, threads }: BenchOptions): Report {
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
          ...["--batches", quick ? "8" : "1,8,32", "--seconds", quick ? 4 : 6, ...(quick ? ["--early"] : [])],
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

function webStep({ quick, slow, threads }: BenchOptions): Report {
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

function distillStep({ quick, threads }: BenchOptions): Report {
  const settings = quick
    ? ([["efficientnet-lite0", 128]] as const)
    : ([
        ["efficientnet-lite0", 128],
        ["vit-s16", 224],
      ] as const);
  const available = settings.filter(
    ([model]) => peerPython() !== undefined || model === "efficientnet-lite0",
  );
  const { results, notes } = each(
    available,
    ([model, size]) => `step ${nameOf(model, size)}`,
    ([model, size]) =>
      child<DistillSteps>(
        "distill-step.js",
        [
          ...[
            "--model",
            model,
            "--size",
            size,
            "--threads",
            threads,
            "--seconds",
            quick ? 6 : 20,
            ...(quick ? ["--pair"] : []),
          ],
        ],
        quick ? 60 : undefined,
      ),
  );
  const table = formatTable(
    ["encoder", "method", "ms a step", "ratio", "peak memory", "ratio"],
    results.flatMap((r) => {
      const theirs = r.ratio === undefined ? undefined : r.sides.at(-1);
      return r.sides.map((side) => [
        nameOf(r.model, r.size),
        side.name,
        ms(side.msPerStep),
        theirs && theirs !== side ? ratioOf(theirs.msPerStep / side.msPerStep) : "–",
        formatBytes(side.peakMemoryBytes),
        theirs && theirs !== side ? ratioOf(theirs.peakMemoryBytes / side.peakMemoryBytes) : "–",
      ]);
    }),
  );
  const [first] = results;
  return {
    text: `${table}\n\n${noted([...notes, ...results.flatMap((r) => r.notes)])}Time to equal accuracy: not run.\n`,
    json: { step: { ratio: first?.ratio ?? null, memoryRatio: first?.memoryRatio ?? null } },
  };
}

interface RidgeBench {
  readonly gemm: { readonly gflops: number };
  readonly solve: readonly {
    readonly m: number;
    readonly d: number;
    readonly C: number;
    readonly solveMs: number;
    readonly adjointMs: number;
    readonly shareOfPeak: number;
    readonly peer?: { readonly solveMs: number; readonly adjointMs: number };
    readonly ratio?: number;
    readonly agreement?: number;
  }[];
}

function ridge({ quick, threads }: BenchOptions): Report {
  const rounds = quick ? ["--quick", "--rounds", 3] : ["--rounds", 5];
  const found = child<RidgeBench>(
    "ridge.js",
    [...rounds, "--threads", threads, "--early"],
    quick ? 45 : undefined,
  );
  const table = formatTable(
    ["m", "d", "C", "solve", "adjoint", "of peak", "SciPy solve", "adjoint", "ratio"],
    found.solve.map((s) => [
      ...[`${s.m}`, `${s.d}`, `${s.C}`, ms(s.solveMs), ms(s.adjointMs), formatPercent(s.shareOfPeak, 0)],
      ...[s.peer ? ms(s.peer.solveMs) : "–", s.peer ? ms(s.peer.adjointMs) : "–", ratioOf(s.ratio)],
    ]),
  );
  const differences = found.solve.flatMap((s) => s.agreement ?? []);
  const agreement =
    differences.length > 0
      ? `W, dZs and dYs differ from SciPy's by at most ${Math.max(...differences).toExponential(1)}, relatively.`
      : "SciPy was not run: the peers are not installed (bench/peers/setup).";
  const main = found.solve.find(({ m, C }) => m === 1000 && C === 1000);
  return {
    text: `Milliseconds. Double matrix products: ${found.gemm.gflops.toFixed(1)} GFLOP/s.\n\n${table}\n\n${agreement}\n`,
    json: { solve: { ratio: main?.ratio ?? null } },
  };
}

interface MemoryPoint {
  readonly m: number;
  readonly batch: number;
  readonly peakMemoryBytes: number;
  readonly parameterBytes: number;
  readonly activationBytes: number;
  readonly secondsPerStep: number;
}

function memory({ quick }: BenchOptions): Report {
  const { results: points, notes } = each(
    [10, 100, 1000],
    (m) => `memory of ${m} images`,
    (m) => child<MemoryPoint>("memory.js", ["--m", m, "--steps", quick ? 1 : 3]),
  );
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  return {
    text: `${formatTable(
      ["m", "chunk", "peak MiB", "parameters + Adam MiB", "one chunk MiB", "s a step"],
      points.map((r) => [
        ...[`${r.m}`, `${r.batch}`, mebibytes(r.peakMemoryBytes), mebibytes(r.parameterBytes)],
        ...[mebibytes(r.activationBytes), r.secondsPerStep.toFixed(2)],
      ]),
    )}\n\n${noted(notes)}`,
  };
}

function extraction({ quick, threads }: BenchOptions): Report {
  const models =
    quick || peerPython() === undefined ? ["efficientnet-lite0"] : ["efficientnet-lite0", "vit-s16"];
  const { results, notes } = each(
    models,
    (model) => `extraction ${model}`,
    (model) =>
      child<Extraction>("extraction.js", [
        ...["--model", model, "--count", quick ? 96 : 256, "--rounds", quick ? 2 : 3, "--threads", threads],
      ]),
  );
  return {
    text: `${formatTable(
      ["encoder", "images", "end to end", "encoder alone", "ratio"],
      results.map((r) => [
        ...[nameOf(r.model, r.size), `${r.count}`, r.endToEnd.toFixed(1), r.encoderAlone.toFixed(1)],
        ratioOf(r.ratio),
      ]),
    )}\n\nImages a second.\n${noted(notes)}`,
  };
}

function probe({ quick, slow, threads }: BenchOptions): Report {
  const sizes = quick
    ? [[10_000, 100]]
    : slow
      ? [
          [50_000, 1000],
          [1_280_000, 1000],
        ]
      : [[50_000, 1000]];
  const { results, notes } = each(
    sizes,
    ([n, classes]) => `probe of ${n} × 768, ${classes} classes`,
    ([n, classes]) =>
      child<ProbeBench>("probe.js", [
        ...["--n", n!, "--classes", classes!, "--threads", threads],
        ...(n! > 100_000 ? ["--no-peers"] : []),
      ]),
  );
  const rest = slow ? "" : "1,280,000 rows: not run (`npm run bench -- --slow`).\n";
  return {
    text: `${formatTable(
      ["rows", "classes", "probe", "seconds", "peak memory", "top-1"],
      results.flatMap((r) =>
        r.sides.map((side) => [
          ...[`${r.n}`, `${r.classes}`, side.name, side.seconds.toFixed(1)],
          ...[formatBytes(side.peakMemoryBytes), formatPercent(side.top1)],
        ]),
      ),
    )}\n\n${rest}${noted([...notes, ...results.flatMap((r) => r.notes)])}`,
  };
}

function growth({ quick, threads }: BenchOptions): Report {
  if (quick) return { text: "Not run with --quick.\n" };
  const found = child<Growth[]>("growth.js", ["--threads", threads]);
  const table = formatTable(
    ["quantity", "values", "ms a step", "time ~ xᵖ", "last doubling", "memory ~ xᵖ"],
    found.map((g) => [
      g.axis,
      `${g.points[0]!.value}–${g.points.at(-1)!.value}`,
      `${ms(g.points[0]!.msPerStep)}–${ms(g.points.at(-1)!.msPerStep)}`,
      ...[g.timeExponent.toFixed(2), `× ${g.lastDoubling.toFixed(2)}`, g.memoryExponent.toFixed(2)],
    ]),
  );
  return { text: `${table}\n`, files: { "growth.svg": growthSvg(found) } };
}

function gpu({ device, quick, threads }: BenchOptions): Report {
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

/** In the order in which they run: those that the line of JSON needs come first, the shortest before. */
export const sections: readonly Section[] = [
  {
    id: "solve",
    title: "Closed-form probe: solve and adjoint, in double",
    about: "SciPy: cho_factor and cho_solve on the smaller system, the same formulas, two threads.",
    run: ridge,
  },
  {
    id: "step",
    title: "A whole distillation step",
    about:
      "10 classes, one image a class, the whole pyramid in use, 512 cached real features. CLP-DD: one copy of each image, closed form. LGM (arXiv 2511.16674) as described there, in PyTorch: 10 augmented copies, backward through the head's gradient; its real features too are taken as cached, which spares it work. In between: LGM's objective and augmentations here. Memory: the peak of each process as a whole, libraries included.",
    run: distillStep,
  },
  {
    id: "encoder",
    title: "Encoder step: features and pixel gradient",
    about:
      "Random weights, the same on both sides; frozen; images in [0, 1], normalisation included. Ours: forward and pullback, intermediates kept, 8 images a call. PyTorch: the whole batch in one call, gradient for the image alone, channels_last for convolutional nets; eager, and torch.compile at batch 8. Share of peak: FLOP of products and convolutions (pullback: one product for each factor that depends on the image) over time, over the rate of 1024³ products by ONNX Runtime in the same rounds. Ratio: PyTorch's better time over ours. Δ: relative norm of the difference, the gradient's in the image where it is least (in others a unit at a kink of ReLU may fall to either side); GFLOP/s: the products that shares refer to. Features: the forward alone; step: features and pixel gradient. Milliseconds.",
    run: encoderStep,
  },
  {
    id: "web",
    title: "Encoder step against TensorFlow.js and jax-js",
    about:
      "ViT-S/16 with random weights and the embedded EfficientNet-Lite0 at 224 px, the same weights on all sides. Ours: ONNX Runtime in Node; in wasm: the same graphs by ONNX Runtime Web. TensorFlow.js, jax-js and ours in wasm run in headless Chromium, in a cross-origin isolated page, on WebAssembly with SIMD and threads: in Node neither peer has threads. TensorFlow.js: products reach its fast kernel (one matrix, not transposed by a flag) by a gradient of our own for linear layers; fused ops for features. jax-js: its own ONNX loader; features by jit, the step op by op, which is quicker. Ratio: the peer's time over ours in Node; wasm: over ours in wasm. Features: the forward alone; step: features and pixel gradient. Milliseconds. Δ: relative norm of the difference from ours in Node.",
    run: webStep,
  },
  {
    id: "memory",
    title: "Memory of a distillation",
    about:
      "EfficientNet-Lite0 at 64 px, pixels, random real features, intermediates recomputed chunk by chunk. The peak is the whole process: Node, ONNX Runtime, weights, parameters, one chunk.",
    run: memory,
  },
  {
    id: "extraction",
    title: "Features from JPEG files",
    about:
      "Made photographs of 500 × 375 px. End to end: read, decode, resize, encode, write the cache. Encoder alone: the same pixels from memory.",
    run: extraction,
  },
  {
    id: "probe",
    title: "Closed-form probe of cached features",
    about:
      "Made features (class mean and noise), 768 a row, float32 on disk; accuracy on 10,000 rows held out. Ours reads them in blocks of 4,096 rows; RidgeClassifier (the same penalty) holds them; SGDClassifier takes one pass of the same blocks.",
    run: probe,
  },
  {
    id: "growth",
    title: "Growth",
    about:
      "EfficientNet-Lite0 at 48 px, pixels, recomputed intermediates, 32 images of 16 classes, 512 real features of 1,280 numbers, except for what grows (for C, 256 images). Exponents of c·xᵖ by least squares on logarithms, constant parts included; the image side enters squared. Dashed in growth.svg: linear.",
    run: growth,
  },
  {
    id: "gpu",
    title: "On a graphics card",
    about: "The encoder step with --device, against PyTorch on the same card.",
    run: gpu,
  },
];
