// The service worker: keeps the whole page, so that it works without a network after the first visit, and gives answers the
// headers that threads need, where the server is one that sends none. __FILES__ and __VERSION__ are filled in by the build.
const version = "__VERSION__";
const files = __FILES__;
const name = `clp-dd ${version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(name)
      .then((cache) => cache.addAll(files))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((n) => n.startsWith("clp-dd ") && n !== name).map((n) => caches.delete(n))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(answer(request));
});

/** What was kept, without asking the network: its version is that of this worker. */
async function answer(request) {
  const cache = await caches.open(name);
  const kept = await cache.match(pageOr(request), { ignoreSearch: true });
  if (kept) return isolated(kept);
  const fetched = await fetch(request);
  // Large files that not everyone needs are kept once somebody did.
  if (fetched.ok && new URL(request.url).pathname.includes("/ort/")) await cache.put(request, fetched.clone());
  return isolated(fetched);
}

/** A page whatever its address ends in; another file as it is. */
const pageOr = (request) =>
  request.mode !== "navigate" ? request : new URL(request.url).pathname.endsWith("/hub.html") ? "./hub.html" : "./index.html";

function isolated(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
