import { texts } from "../texts.ts";
import type { CameraStream } from "./use-camera.ts";

/** Which camera, where there are several. */
export function CameraChooser({ camera: { devices, device } }: { readonly camera: CameraStream }) {
  if (devices.value.length < 2) return null;
  return (
    <label>
      {texts.camera.choose}{" "}
      <select
        onChange={(event) => {
          device.value = event.currentTarget.value;
        }}
      >
        {devices.value.map(({ deviceId, label }, i) => (
          <option key={deviceId} value={deviceId} selected={deviceId === device.value}>
            {label || texts.camera.unnamed(i + 1)}
          </option>
        ))}
      </select>
    </label>
  );
}
