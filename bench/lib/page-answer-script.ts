// Runs in a page: the closed-form answer of the page's library.
import { answer } from "../../src/browser/answer.ts";
import { webRuntime } from "../../src/onnx-vjp/runtime/web.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";

interface Question {
  readonly threads: number;
  readonly featureSize: number;
  readonly classes: number;
  readonly labels: readonly number[];
  readonly testLabels: readonly number[];
}

const floats = async (url: string) => new Float32Array(await (await fetch(url)).arrayBuffer());

async function solve({ threads, featureSize, classes, labels, testLabels }: Question) {
  const gemm = chooseGemm(jsGemm, ortGemm(webRuntime({ wasmPaths: "/ort/", threads })));
  const train = featuresInMemory(await floats("/data/train"), Int32Array.from(labels));
  const test = Float64Array.from(await floats("/data/test"));
  const seconds: number[] = [];
  let accuracy = 0;
  // The first time the runtime is fetched.
  for (let run = 0; run < 3; run++) {
    const began = performance.now();
    const { probe } = await answer(train, classes, gemm);
    seconds.push((performance.now() - began) / 1000);
    accuracy = probe.score(matrix(testLabels.length, featureSize, test), testLabels);
  }
  return { firstSeconds: seconds[0], seconds: Math.min(...seconds.slice(1)), accuracy };
}

Object.assign(globalThis, { solveAnswer: solve });
