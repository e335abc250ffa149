import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import * as ort from "onnxruntime-node";
import { MissingDeviceError } from "./errors.js";
import { encodeModel } from "./onnx/model.js";

/** Where a program runs. In a browser `cpu` is jax-js's Wasm backend and there is no `cuda`. */
export type Device = "cpu" | "webgpu" | "cuda";

export const knownDevices: readonly Device[] = ["cpu", "webgpu", "cuda"];

/** What to do for a device that is not there. */
const remedies: Record<Device, string> = {
  cpu: "",
  webgpu:
    "It needs a graphics card, or a software one, with a driver for Vulkan (Linux, with libvulkan.so.1), Metal (macOS) or Direct3D 12 (Windows).",
  cuda: 'It needs an NVIDIA card on Linux x64 and ONNX Runtime\'s CUDA provider, which is not downloaded by itself: README.md, "On a machine with an NVIDIA card".',
};

/** The devices on which a program ran just now, the CPU first. Each is tried once in a process. */
export async function devices(): Promise<Device[]> {
  const reasons = await Promise.all(knownDevices.map(whyMissing));
  return knownDevices.filter((_, i) => reasons[i] === undefined);
}

/**
 * A session of ONNX Runtime on a device. What the device's provider does not have, ONNX Runtime runs on the CPU.
 *
 * @throws MissingDeviceError
 */
export async function sessionOn(
  device: Device,
  programName: string,
  model: Uint8Array,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  const reason = await whyMissing(device);
  if (reason !== undefined) {
    throw new MissingDeviceError(programName, device, reason, await devices(), remedies[device] ?? "");
  }
  // Below errors, ONNX Runtime warns of what falls to the CPU, as it should.
  const quiet = device === "cpu" ? {} : { logSeverityLevel: 3 as const };
  return ort.InferenceSession.create(model, { ...options, ...quiet, executionProviders: [device] });
}

const tried = new Map<Device, Promise<string | undefined>>();

/** Why a device cannot be used; undefined where it can. */
function whyMissing(device: Device): Promise<string | undefined> {
  let reason = tried.get(device);
  if (!reason) {
    reason = tryOut(device);
    tried.set(device, reason);
  }
  return reason;
}

async function tryOut(device: Device): Promise<string | undefined> {
  if (device === "cpu") return undefined;
  if (!knownDevices.includes(device))
    return `no device has this name; the names are ${knownDevices.join(", ")}`;
  if (!ort.listSupportedBackends().some(({ name }) => name === device)) {
    return `onnxruntime-node has no ${device} on ${process.platform} ${process.arch}`;
  }
  // ONNX Runtime would say so too, but in red on the terminal.
  if (device === "cuda" && !hasProviderLibrary("cuda"))
    return "ONNX Runtime's CUDA provider is not installed";
  try {
    const session = await ort.InferenceSession.create(doubling, { executionProviders: [device] });
    const { y } = await session.run({ x: new ort.Tensor("float32", Float32Array.of(1, 2), [2]) });
    await session.release();
    const found = [...(y.data as Float32Array)];
    return found.join() === "2,4" ? undefined : `it gives ${found} for 1 + 1, 2 + 2`;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.replace(/^.*? was false\. /s, "").trim();
  }
}

/** ONNX Runtime looks for the libraries of its providers beside its own. */
function hasProviderLibrary(name: string): boolean {
  const binaries = join(dirname(createRequire(import.meta.url).resolve("onnxruntime-node")), "..", "bin");
  const here = join(sep, process.platform, process.arch, sep);
  return readdirSync(binaries, { recursive: true }).some((file) => {
    const path = join(sep, String(file));
    return path.includes(here) && path.includes(`onnxruntime_providers_${name}`);
  });
}

/** y = x + x */
const doubling = encodeModel({
  name: "doubling",
  doc: "",
  nodes: [{ op: "Add", inputs: ["x", "x"], outputs: ["y"], attributes: {} }],
  initializers: [],
  inputs: [{ name: "x", dtype: "float32", shape: [2] }],
  outputs: [{ name: "y", dtype: "float32", shape: [2] }],
});
