import { useSignal } from "@preact/signals";
import { ask, engine, openProject, ready } from "../state.ts";
import { texts } from "../texts.ts";

const own = texts.hub;

/** The hub's address on the page that may reach it; undefined on the usual one, which reaches nobody. */
const hubUrl = document.querySelector("meta[name=hub]")?.getAttribute("content") ?? undefined;

/** Encoders by name: on a page of its own, whose policy allows connections to the hub. */
export function Hub() {
  const name = useSignal("");
  const fetching = useSignal(false);
  if (hubUrl === undefined) {
    return (
      <p>
        <a href="./hub.html">{own.open}</a> {own.openHint}
      </p>
    );
  }
  const fetchEncoder = async () => {
    fetching.value = true;
    const id = await ask(() => engine.call("useHubEncoder", [name.value.trim(), hubUrl]));
    fetching.value = false;
    if (id !== undefined) openProject(id);
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void fetchEncoder();
      }}
    >
      <label>
        {own.name}{" "}
        <input
          type="text"
          required
          placeholder="dinov2-small"
          value={name.value}
          onInput={(event) => {
            name.value = event.currentTarget.value;
          }}
        />
      </label>
      <button type="submit" disabled={!ready.value || fetching.value}>
        {fetching.value ? own.fetching : own.fetch}
      </button>
      <p class="hint">
        {own.hint} <a href="./">{own.leave}</a>
      </p>
    </form>
  );
}
