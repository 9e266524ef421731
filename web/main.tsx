import { render } from "preact";
import "./style.css";
import { start } from "./state.ts";
import { App } from "./ui/app.tsx";

render(<App />, document.getElementById("app")!);
void start();

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  navigator.serviceWorker.register("./sw.js").then(async () => {
    // Where the server sends no headers for threads the service worker does, from the next load on.
    await navigator.serviceWorker.ready;
    if (window.crossOriginIsolated || sessionStorage.getItem("reloaded") !== null) return;
    sessionStorage.setItem("reloaded", "yes");
    location.reload();
  }, console.warn);
}
