import { requireTelemetryDecided } from "./telemetry-off.ts";

// The binding for Node, which is imported nowhere else: its telemetry is off before its first session.
requireTelemetryDecided();

export * from "onnxruntime-node";
