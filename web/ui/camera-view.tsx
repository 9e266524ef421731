import { texts } from "../texts.ts";
import type { CameraStream } from "./use-camera.ts";

const own = texts.camera;

/** What a camera shows, why it shows nothing, and which camera it is, where there are several. */
export function CameraView({ camera, label }: { readonly camera: CameraStream; readonly label: string }) {
  const { video, devices, device, mirrored, problem } = camera;
  return (
    <>
      {problem.value && <p role="alert">{own.denied(problem.value)}</p>}
      <video
        ref={video}
        class={mirrored.value ? "mirrored" : ""}
        autoplay
        muted
        hidden={problem.value !== undefined}
        playsInline
        aria-label={label}
      />
      {devices.value.length > 1 && (
        <label>
          {own.choose}{" "}
          <select
            onChange={(event) => {
              device.value = event.currentTarget.value;
            }}
          >
            {devices.value.map(({ deviceId, label: name }, i) => (
              <option key={deviceId} value={deviceId} selected={deviceId === device.value}>
                {name || own.unnamed(i + 1)}
              </option>
            ))}
          </select>
        </label>
      )}
    </>
  );
}
