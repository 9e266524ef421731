import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { texts } from "../texts.ts";

export interface CameraStream {
  readonly video: RefObject<HTMLVideoElement | null>;
  readonly devices: Signal<readonly MediaDeviceInfo[]>;
  readonly device: Signal<string | undefined>;
  /** Whether the picture shows the person in front: the preview is then mirrored, as people expect; stored pictures never are. */
  readonly mirrored: Signal<boolean>;
  readonly problem: Signal<string | undefined>;
}

/** A camera for as long as the component is there; the one on the back where the device has one and none is chosen. */
export function useCamera(): CameraStream {
  const video = useRef<HTMLVideoElement>(null);
  const devices = useSignal<readonly MediaDeviceInfo[]>([]);
  const device = useSignal<string | undefined>(undefined);
  const mirrored = useSignal(false);
  const problem = useSignal<string | undefined>(undefined);
  const wanted = device.value;
  useEffect(() => {
    let stream: MediaStream | undefined;
    let gone = false;
    const open = async () => {
      try {
        const choice =
          wanted === undefined ? { facingMode: { ideal: "environment" } } : { deviceId: { exact: wanted } };
        if (navigator.mediaDevices === undefined) throw new Error(texts.camera.none);
        stream = await navigator.mediaDevices.getUserMedia({ video: choice, audio: false });
        if (gone || !video.current) {
          stop(stream);
          return;
        }
        video.current.srcObject = stream;
        // Browsers give no frames of a video that nobody sees.
        video.current.scrollIntoView({ block: "nearest" });
        const { facingMode } = stream.getVideoTracks()[0]!.getSettings();
        mirrored.value = facingMode !== "environment";
        // Names of devices are given once a camera may be used.
        devices.value = (await navigator.mediaDevices.enumerateDevices()).filter(
          ({ kind }) => kind === "videoinput",
        );
        problem.value = undefined;
      } catch (error) {
        problem.value = error instanceof Error ? error.message : String(error);
      }
    };
    void open();
    return () => {
      gone = true;
      if (stream) stop(stream);
    };
  }, [wanted]);
  return { video, devices, device, mirrored, problem };
}

const stop = (stream: MediaStream) => {
  for (const track of stream.getTracks()) track.stop();
};

/** The picture that a camera shows, as it is: not mirrored; undefined while there is none. */
export async function pictureOf(video: HTMLVideoElement | null): Promise<ImageBitmap | undefined> {
  if (video === null || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return undefined;
  // A frame may be gone between two others, such as where the camera is changed.
  return createImageBitmap(video).catch(() => undefined);
}
