import * as jax from "@jax-js/jax";
import type { Device } from "../devices.js";
import { MissingDeviceError } from "../errors.js";

/** jax-js's backend for each device. */
const backends = new Map<Device, jax.Device>([
  ["cpu", "wasm"],
  ["webgpu", "webgpu"],
]);

/** The devices that this browser has, the CPU first. */
export async function devices(): Promise<Device[]> {
  const initialised = await jax.init(...backends.values());
  return [...backends].filter(([, backend]) => initialised.includes(backend)).map(([device]) => device);
}

/**
 * jax-js's backend for a device, ready for use.
 *
 * @throws MissingDeviceError
 */
export async function backendOf(device: Device, programName: string): Promise<jax.Device> {
  const backend = backends.get(device);
  if (!backend) {
    const reason = `in a browser the devices are ${[...backends.keys()].join(" and ")}`;
    throw new MissingDeviceError(programName, device, reason, await devices(), "");
  }
  if (!(await jax.init(backend)).includes(backend)) {
    const reason = `this browser gives this page no ${device === "cpu" ? "WebAssembly" : "WebGPU adapter"}`;
    throw new MissingDeviceError(programName, device, reason, await devices(), "");
  }
  return backend;
}
