import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Array as JaxArray } from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, compileStep } from "./compile.js";
import { type Device, devices } from "./devices.js";
import { MissingDeviceError } from "./errors.js";
import { scalar } from "./tensor.js";
import { buildEngine, built } from "./testing/built.js";
import { type Training, train } from "./testing/training.js";

function double(x: JaxArray) {
  return x.add(x);
}

/** The message with which compiling for a device is refused. */
const refusal = (device: string) =>
  compile(double, [scalar(1)], { device: device as Device }).then(
    () => "compiled",
    (error: unknown) => (error instanceof MissingDeviceError ? error.message : `another error: ${error}`),
  );

describe("devices", () => {
  it("have the CPU first, and none that a program cannot be compiled for", async () => {
    const present = await devices();
    expect(present[0]).toBe("cpu");
    for (const device of present) {
      const program = await compile(double, [scalar(1)], { device });
      expect((await program.run(scalar(3))).item()).toBe(6);
      await program.dispose();
    }
  });

  it("that are missing are refused with those that are there and what to do", async () => {
    const present = await devices();
    const there = `Devices that are there: ${present.join(", ")}.`;
    expect(await refusal("gpu")).toBe(
      'The program "double" was to run on "gpu", which is not there: no device has this name; ' +
        `the names are cpu, webgpu, cuda. ${there}`,
    );
    if (!present.includes("cuda")) {
      const message = await refusal("cuda");
      expect(message).toMatch(/^The program "double" was to run on "cuda", which is not there: /);
      expect(message).toContain(there);
      expect(message).toMatch(/not downloaded by itself: README\.md, "On a machine with an NVIDIA card"\.$/);
    }
    if (!present.includes("webgpu")) {
      expect(await refusal("webgpu")).toMatch(/Devices that are there: cpu.*driver for Vulkan/);
      const step = (carry: JaxArray, x: JaxArray) => [carry.add(x), x] as const;
      await expect(compileStep(step, [scalar(0), scalar(0)], { device: "webgpu" })).rejects.toThrow(
        MissingDeviceError,
      );
    }
  });
});

// Chromium brings along a Vulkan loader and SwiftShader, a Vulkan driver that computes on the processor. The loader is
// found by the path that a process is started with, so the programs run in one of their own.
const folder = "/usr/lib/chromium";
const driver = `${folder}/vk_swiftshader_icd.json`;
const STEPS = 6;

describe.skipIf(!existsSync(driver))(`WebGPU on SwiftShader (${driver})`, () => {
  let found: { devices: Device[]; mixed: [string, number[]][]; trainings: [Training, Training] };

  beforeAll(() => {
    buildEngine();
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [built("testing/on-gpu.js"), String(STEPS)],
      {
        encoding: "utf8",
        timeout: 100_000,
        env: { ...process.env, VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: folder },
      },
    );
    if (status !== 0) throw new Error(`the process ended with ${status}:\n${stderr}`);
    found = JSON.parse(stdout);
  }, 120_000);

  it("is among the devices", () => {
    expect(found.devices.slice(0, 2)).toEqual(["cpu", "webgpu"]);
  });

  it("leaves to the CPU what it has no kernel for", () => {
    expect(found.mixed).toEqual([
      ["float32", [2, 4, 6]],
      ["int32", [1, 2, 0]],
      ["int32", [5, 26]],
      ["float32", [3, -1, 2]],
      ["bool", [1, 0, 1]],
    ]);
  });

  it("trains as the CPU does, and twice with the same bits", async () => {
    const expected = await train("cpu", STEPS);
    const [once, again] = found.trainings;
    expect(once).toEqual(again);
    expect(once.hits).toEqual(expected.hits);
    const far = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
    expect(far(once.losses, expected.losses)).toBeLessThan(1e-3);
    expect(far(once.weights, expected.weights)).toBeLessThan(1e-3);
    // It is another device that computed: its exponentials are not those of the CPU to the last bit.
    expect(once.weights).not.toEqual(expected.weights);
  });
});
