/** TensorFlow.js with its WebAssembly backend, for whichever peer runs on it. */

export const script = (src) =>
  new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject });
    document.head.append(element);
  });

/** Loads it, with as many threads. */
export async function startTensorFlow(threads) {
  const modules = "/modules/@tensorflow";
  // The backend takes at most half as many threads as the browser says there are cores.
  Object.defineProperty(navigator, "hardwareConcurrency", { value: 2 * threads });
  await script(`${modules}/tfjs/dist/tf.min.js`);
  await script(`${modules}/tfjs-backend-wasm/dist/tf-backend-wasm.min.js`);
  const { tf } = globalThis;
  tf.wasm.setWasmPaths(`${modules}/tfjs-backend-wasm/dist/`);
  tf.wasm.setThreadsCount(threads);
  tf.enableProdMode();
  await tf.setBackend("wasm");
  return tf;
}
