/** Files of the question, by their short names. */

export async function bytes(name) {
  const response = await fetch(`/data/${name}`);
  if (!response.ok) throw new Error(`/data/${name} was not read: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export async function floats(name) {
  return new Float32Array((await bytes(name)).buffer);
}

export async function write(name, values) {
  // A view of shared memory cannot be sent.
  const response = await fetch(`/data/${name}`, { method: "POST", body: Float32Array.from(values) });
  if (!response.ok) throw new Error(`/data/${name} was not written: ${response.status}`);
}

export async function elapsed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
