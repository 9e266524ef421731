import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addFiles } from "../state.ts";
import { texts } from "../texts.ts";
import { CameraView } from "./camera-view.tsx";
import { pictureOf, useCamera } from "./use-camera.ts";

const own = texts.camera;
const pictureMs = 200;

/** Takes pictures for a class for as long as its button is held. */
export function Camera(props: {
  readonly classId: string;
  readonly name: string;
  readonly onClose: () => void;
}) {
  const { classId, name, onClose } = props;
  const camera = useCamera();
  const taken = useSignal(0);
  const held = useRef<ReturnType<typeof setInterval> | undefined>(undefined);
  const take = async () => {
    const content = await pictureOf(camera.video.current);
    if (content === undefined) return;
    taken.value++;
    addFiles([{ classId, name: `camera ${taken.value}`, content }]);
  };
  const hold = () => {
    if (held.current !== undefined) return;
    void take();
    held.current = setInterval(() => void take(), pictureMs);
  };
  const letGo = () => {
    clearInterval(held.current);
    held.current = undefined;
  };
  useEffect(() => letGo, []);
  const isHoldKey = ({ key }: KeyboardEvent) => key === " " || key === "Enter";
  return (
    <section class="camera" aria-label={own.title(name)}>
      <CameraView camera={camera} label={own.title(name)} />
      <div class="row">
        <button
          type="button"
          class="hold"
          onPointerDown={hold}
          onPointerUp={letGo}
          onPointerLeave={letGo}
          onPointerCancel={letGo}
          onBlur={letGo}
          onContextMenu={(event) => event.preventDefault()}
          onKeyDown={(event) => {
            if (!isHoldKey(event)) return;
            event.preventDefault();
            hold();
          }}
          onKeyUp={(event) => {
            if (isHoldKey(event)) letGo();
          }}
        >
          {own.hold}
        </button>
        <button type="button" class="quiet" onClick={onClose}>
          {own.close}
        </button>
      </div>
      <p class="hint">
        {own.holdHint} {taken.value > 0 && own.taken(taken.value)}
      </p>
    </section>
  );
}
