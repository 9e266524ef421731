import { useSignal } from "@preact/signals";
import { fileOpen } from "browser-fs-access";
import { useEffect, useRef } from "preact/hooks";
import { filesOf } from "../drop.ts";
import type { Classified } from "../engine/protocol.ts";
import { answer, ask, engine, set } from "../state.ts";
import { texts } from "../texts.ts";
import { Bars } from "./bars.tsx";
import { CameraView } from "./camera-view.tsx";
import { pictureOf, useCamera } from "./use-camera.ts";

const own = texts.classify;

export function ClassifyPanel() {
  const photo = useSignal<{ readonly blob: Blob; readonly url: string } | undefined>(undefined);
  const live = useSignal(false);
  const result = useSignal<(Classified & { readonly number: number }) | undefined>(undefined);
  const count = useRef(0);
  const chosenSet = useSignal(false);
  const canSet = set.value !== undefined && set.value.refusal === undefined;
  const canImages = answer.value !== undefined;
  const withSet = canSet && (chosenSet.value || !canImages);
  const solved = answer.value;
  const names = withSet ? set.value!.classes : (solved?.classes.map(({ name }) => name) ?? []);

  const classify = async (content: Blob | ImageBitmap) => {
    const transfer = content instanceof ImageBitmap ? [content] : [];
    const classified = await ask(() => engine.call("classify", [content, withSet], transfer));
    result.value = classified && { ...classified, number: ++count.current };
  };
  const show = (blob: Blob) => {
    if (photo.value) URL.revokeObjectURL(photo.value.url);
    photo.value = { blob, url: URL.createObjectURL(blob) };
    live.value = false;
  };
  // A new answer may be another one.
  useEffect(() => {
    if (photo.value && !live.value && (canImages || canSet)) void classify(photo.value.blob);
  }, [photo.value, solved, withSet, set.value]);

  if (!canImages && !canSet) return <section aria-labelledby="classify" hidden />;
  const choose = async () => {
    const file = await fileOpen({ mimeTypes: ["image/*"], description: own.choose }).catch(() => undefined);
    if (file) show(file);
  };
  return (
    <section
      aria-labelledby="classify"
      class="classify"
      onDrop={(event) => {
        event.preventDefault();
        if (event.dataTransfer) void filesOf(event.dataTransfer).then(([first]) => first && show(first.file));
      }}
    >
      <h2 id="classify">{own.title}</h2>
      {canImages && canSet && (
        <fieldset>
          <legend>{own.by}</legend>
          {([false, true] as const).map((value) => (
            <label key={String(value)}>
              <input
                type="radio"
                name="with"
                checked={withSet === value}
                onChange={() => {
                  chosenSet.value = value;
                }}
              />{" "}
              {value ? own.bySet : own.byImages}
            </label>
          ))}
        </fieldset>
      )}
      <div class="row">
        <button type="button" onClick={() => void choose()}>
          {own.choose}
        </button>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            live.value = !live.value;
          }}
        >
          {live.value ? own.stopLive : own.live}
        </button>
      </div>
      {live.value ? (
        <Live onPicture={classify} />
      ) : photo.value ? (
        <img class="photo" src={photo.value.url} alt={own.title} />
      ) : (
        <p class="hint">{own.hint}</p>
      )}
      {result.value && names.length === result.value.probabilities.length && (
        <Bars {...result.value} names={names} />
      )}
    </section>
  );
}

/** Least time between two pictures: not more than five per second. */
const pictureMs = 200;

function Live({ onPicture }: { readonly onPicture: (picture: ImageBitmap) => Promise<void> }) {
  const camera = useCamera();
  // Another function with every result, while pictures are taken in one loop.
  const classify = useRef(onPicture);
  classify.current = onPicture;
  useEffect(() => {
    let gone = false;
    const look = async () => {
      while (!gone) {
        // The next picture is taken when the last one is classified.
        const pause = new Promise((resolve) => setTimeout(resolve, pictureMs));
        const picture = await pictureOf(camera.video.current);
        if (picture) await classify.current(picture);
        await pause;
      }
    };
    void look();
    return () => {
      gone = true;
    };
  }, []);
  return <CameraView camera={camera} label={own.live} />;
}
