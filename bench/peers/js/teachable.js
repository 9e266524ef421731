/**
 * Teachable Machine's own library: the head that it trains, on TensorFlow.js's WebAssembly backend. Its MobileNet is not
 * fetched: the head gets the features that are given, as its `examples`, which it makes itself of images elsewhere.
 */

import { floats } from "./data.js";
import { script, startTensorFlow } from "./tensorflow.js";

let started;
async function start(threads) {
  await startTensorFlow(threads);
  await script("/modules/@teachablemachine/image/dist/teachablemachine-image.min.js");
}

/**
 * Trains a head on `train` and classifies `test`, both rows of features.
 * @returns seconds of the training, and the share of `test` that is classified correctly
 */
export async function head({ threads, featureSize, classes, labels, testLabels, epochs, batchSize, learningRate, denseUnits, backend }) {
  started ??= start(threads);
  await started;
  const { tf, tmImage } = globalThis;
  await tf.setBackend(backend);
  await tf.ready();
  const [train, test] = [await floats("train"), await floats("test")];
  const input = tf.input({ shape: [featureSize] });
  const identity = tf.model({ inputs: input, outputs: tf.layers.activation({ activation: "linear" }).apply(input) });
  const model = new tmImage.TeachableMobileNet(identity, {});
  model.setLabels(Array.from({ length: classes }, (_, i) => `${i}`));
  for (const [row, label] of labels.entries()) {
    model.examples[label].push(train.slice(row * featureSize, (row + 1) * featureSize));
  }
  const began = performance.now();
  await model.train({ epochs, batchSize, learningRate, denseUnits });
  const seconds = (performance.now() - began) / 1000;
  const predicted = await model.model.predict(tf.tensor2d(test, [testLabels.length, featureSize])).argMax(1).data();
  const right = testLabels.filter((label, i) => predicted[i] === label).length;
  return { seconds, accuracy: right / testLabels.length, backend: tf.getBackend() };
}
