import type { Section } from "./section.ts";
import { extraction, probe, ridge } from "./sections-data.ts";
import { distillStep, equalAccuracy, growth, memory, scaling, start } from "./sections-distill.ts";
import { encoderStep, gpu, webStep } from "./sections-encoder.ts";
import { machines } from "./sections-machines.ts";
import { page, pageHead, pageMemory } from "./sections-page.ts";

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
      "10 classes, one image per class and four, the whole pyramid in use, 512 cached real features. CLP-DD: one copy of each image, closed form, and what choosing target features adds to a step on average. LGM (arXiv 2511.16674) as described there, in PyTorch: 10 augmented copies, backward through the head's gradient; its real features too are taken as cached, which spares it work. In between: LGM's objective and augmentations here. PyTorch in one process, eager and with its encoder compiled, and in one process of one thread per core, which share out the images as they are shared out here. Each side's turn is at least two seconds of consecutive steps, after a first one that does not count. One rival at a time stands beside CLP-DD. Ratios: its time over CLP-DD's in the same turns, and its memory over CLP-DD's. Memory: the peak of each process as a whole, libraries included; LGM keeps the activations of all copies of all images, where one chunk of images at a time is enough here (they are kept while a quarter of the memory holds them). Runs that do not fit into free memory are marked.",
    run: distillStep,
  },
  {
    id: "start",
    title: "What users wait for",
    about:
      "The command's start against Node's own, a demo of one step whose features are cached (the median of three), and the whole demo with cached features, stage by stage. Wall times of whole processes; each stage's seconds and peak memory are those that the manifest records, all processes together. The rest of a whole run is start, reading and writing.",
    run: start,
  },
  {
    id: "scaling",
    title: "Scaling with threads",
    about:
      "Steps with as many processes as threads, in turns of at least six seconds of consecutive steps, in one run: the demo's step (8 images as they are and in one draw), and one of ViT-S/16. Threads: 1, 2 and every doubling up to the cores of the machine. Faster: the time with one thread over the time with these. Side by side: as many runs of one thread as there are cores, each with its own images and nothing to exchange, whose rate is the most that this machine has to give. Fitted: a + b/threads through the times with 1 and 2 threads, at 16 threads; not measured.",
    run: scaling,
  },
  {
    id: "equal",
    title: "Time to equal accuracy",
    about:
      "The embedded emoji set (8 Unicode groups), the embedded EfficientNet-Lite0 at 128 px, one image a class, features of the real images cached for both. LGM (arXiv 2511.16674) in PyTorch: 10 augmented copies of each image a step, a fresh head each step, 512 real features; under two schedules, its own with its levels at the same shares of the time (what is published, 5,000 steps and a level every 200, does not get beyond 1 × 1 px here in that time) and the one that is the default here. CLP-DD: the default recipe, and it in 200 steps. Seconds are those of the steps; each schedule of LGM has 300 unless the command says otherwise (`--equal-seconds`). Each side's images are judged on the way by the evaluation here, on the real test images: the closed form (the default's map and λ), LGM's head, and its head on augmented draws, as its authors train it. LGM's best: over both schedules and all times, and the first time it was that good (its s). Ratio: that time over the time in which CLP-DD was at least as good.",
    run: equalAccuracy,
  },
  {
    id: "encoder",
    title: "Encoder step: features and pixel gradient",
    about:
      "Random weights, the same on both sides; frozen; images in [0, 1], normalization included. Ours: forward and pullback, intermediates kept, as many images per call as a distillation takes. PyTorch: the whole batch in one call, gradient for the image alone, channels_last for convolutional nets; eager, and torch.compile at batch 8. Share of peak: FLOP of products and convolutions (pullback: one product for each factor that depends on the image) over time, over the rate of 1024³ products by ONNX Runtime in the same rounds. Ratio: PyTorch's better time over ours. Δ: relative norm of the difference, the gradient's in the image where it is least (in others a unit at a kink of ReLU may fall to either side); GFLOP/s: the products that shares refer to, and the same products by PyTorch in the same rounds; kept: for the pullback, an image. Features: the forward alone; step: features and pixel gradient. Milliseconds.",
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
      "Made photographs of 500 × 375 px. Whole: read, decode, resize, encode, write the cache. Alone: the encoder on the same pixels from memory. Both in images per second. Encode, decode (read too), resize: milliseconds of one core for an image. Bound: what the ratio would be if no core ever idled, encode over the sum of the three; the encoder uses every core by itself, so that decoding takes from it what it costs.",
    run: extraction,
  },
  {
    id: "probe",
    title: "Closed-form probe of cached features",
    about:
      "Made features (class mean and noise), 768 per row, float32 on disk; accuracy on 10,000 rows held out. Ours reads them in blocks of 4,096 rows; RidgeClassifier (the same penalty) holds them; SGDClassifier takes one pass of the same blocks. Each of those two is stopped when its time (`--peer-seconds`, 10 minutes by default) or the free memory is used up, and its row is then of the rows that it has learned from.",
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
    id: "machines",
    title: "A step among several workers",
    about:
      "Exchange of all synthetic features among workers of one thread each through redis-server, all on this machine: every worker publishes the features of its shards of 8 images and waits until it has all. The slowest worker's time, median over steps; bytes in and out of the server per step.",
    run: machines,
  },
  {
    id: "page",
    title: "The page of clp-dd app",
    about:
      "The page in headless Chromium on this machine, with everything in WebAssembly: drawings of 160 × 140 px are dropped on it, of three kinds to be gathered and of two to be distilled; the embedded EfficientNet-Lite0 sees them at 128 px. Gathered: decoded, encoded and kept, with answers meanwhile. The page shows itself before the worker and what follows it are fetched.",
    run: page,
  },
  {
    id: "page-memory",
    title: "Memory of the page",
    about:
      "Process: resident memory of the browser's process that runs the page and its workers. Page and workers: what the browser itself counts, garbage collected. Features and small pictures of images are kept, not the images.",
    run: pageMemory,
  },
  {
    id: "page-head",
    title: "Time to an answer, beside Teachable Machine",
    about:
      "@teachablemachine/image 0.8.5, the library behind Teachable Machine, trains its head as its site does: 50 epochs, batches of 16, learning rate 0.001, 100 hidden units. The closed form of the page: λ by leave-one-out, weights, and the leave-one-out accuracy that the page shows. Both in headless Chromium, on the same features of the emoji set: Teachable Machine's MobileNet is not part of the package and was not fetched, so both get those of EfficientNet-Lite0 at 128 px. Test images are drawn by others than the training images.",
    run: pageHead,
  },
  {
    id: "gpu",
    title: "On a GPU",
    about: "The encoder step with --device, against PyTorch on the same GPU.",
    run: gpu,
  },
];
