import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium } from "playwright-core";
import { build } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildEngine, built } from "../testing/built.js";
import { type Training, train } from "../testing/training.js";

// The package as it is published, bundled for the browser, in a real Chromium.

const executablePath = "/usr/bin/chromium";
const STEPS = 12;
/** WebGPU on the processor, by the SwiftShader that Chromium brings along. */
const softwareGpu = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

type Page = typeof import("../testing/page.js");
declare global {
  var engine: Page;
}

describe.skipIf(!existsSync(executablePath))(`in Chromium (${executablePath})`, () => {
  let server: Server;
  let address: string;
  let modules: string[];
  const browsers: Browser[] = [];
  let expected: Training;

  beforeAll(async () => {
    buildEngine();
    const { output } = await build({
      input: built("testing/page.js"),
      platform: "browser",
      write: false,
    });
    const files = new Map(output.map((file) => [`/${file.fileName}`, "code" in file ? file.code : ""]));
    modules = output.flatMap((file) => ("modules" in file ? Object.keys(file.modules) : []));
    server = createServer(({ url = "" }, response) => {
      const code = files.get(url);
      response.setHeader("content-type", code ? "text/javascript" : "text/html");
      // With these a page may share memory between threads.
      response.setHeader("cross-origin-opener-policy", url === "/alone" ? "unsafe-none" : "same-origin");
      response.setHeader("cross-origin-embedder-policy", url === "/alone" ? "unsafe-none" : "require-corp");
      response.end(
        code ??
          '<script type="module">import * as engine from "/page.js"; globalThis.engine = engine;</script>',
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expected = await train("cpu", STEPS);
  }, 120_000);

  afterAll(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    server?.close();
  });

  /** A page with the engine as `globalThis.engine`. */
  async function open(path: string, flags: readonly string[]) {
    const browser = await chromium.launch({
      executablePath,
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        ...flags,
      ],
    });
    browsers.push(browser);
    const page = await browser.newPage();
    await page.goto(address + path);
    await page.waitForFunction(() => "engine" in globalThis);
    return page;
  }

  function expectSame(found: Training, tolerance: number): void {
    expect(found.hits).toEqual(expected.hits);
    const far = (a: number[], b: number[]) => a.map((x, i) => Math.abs(x - b[i]));
    expect(Math.max(...far(found.losses, expected.losses))).toBeLessThan(tolerance);
    expect(Math.max(...far(found.weights, expected.weights))).toBeLessThan(tolerance);
  }

  it("bundles without ONNX Runtime and without Node's modules", () => {
    expect(
      modules.filter((name) => /onnxruntime|^node:|(executable|compile|devices)\.js$/.test(name)),
    ).toEqual([built("browser/devices.js"), built("browser/compile.js")]);
  });

  it("trains as Node does, by Wasm on one thread and on several", async () => {
    for (const [path, shares] of [
      ["/alone", false],
      ["/", true],
    ] as const) {
      const page = await open(path, []);
      const found = await page.evaluate(async (steps) => {
        const probe = await engine.compile((x: import("@jax-js/jax").Array) => x.add(1), [engine.scalar(1)]);
        return {
          shares: globalThis.crossOriginIsolated,
          devices: await engine.devices(),
          threads: probe.threads,
          cores: navigator.hardwareConcurrency,
          training: await engine.train("cpu", steps),
        };
      }, STEPS);
      expect([found.shares, found.devices]).toEqual([shares, ["cpu"]]);
      expect(found.threads).toBe(shares ? found.cores : 1);
      expectSame(found.training, 1e-5);
    }
  });

  it("trains as Node does by WebGPU, with the carry on the device and nothing left there", async () => {
    const page = await open("/", softwareGpu);
    const found = await page.evaluate(async (steps) => {
      // Bytes for arrays that were asked for and not given back. (jax-js leaves its 256-byte uniforms to the browser.)
      const STORAGE = 0x80;
      let bytes = 0;
      let reads = 0;
      const { createBuffer } = GPUDevice.prototype;
      const { destroy, mapAsync } = GPUBuffer.prototype;
      GPUDevice.prototype.createBuffer = function (descriptor) {
        if (descriptor.usage & STORAGE) bytes += descriptor.size;
        return createBuffer.call(this, descriptor);
      };
      GPUBuffer.prototype.destroy = function () {
        if (this.usage & STORAGE) bytes -= this.size;
        return destroy.call(this);
      };
      GPUBuffer.prototype.mapAsync = function (...args) {
        reads++;
        return mapAsync.apply(this, args);
      };
      const devices = await engine.devices();
      const training = await engine.train("webgpu", steps);
      const [leftAfterFirst, readsOfFirst] = [bytes, reads];
      await engine.train("webgpu", 3 * steps);
      return { devices, training, leftAfterFirst, grown: bytes - leftAfterFirst, readsOfFirst };
    }, STEPS);
    expect(found.devices).toEqual(["cpu", "webgpu"]);
    expectSame(found.training, 1e-3);
    expect(found.grown).toBe(0);
    // Only the loss and what was hit come back after each step, and the six leaves of the carry once, at the end.
    expect(found.readsOfFirst).toBe(2 * STEPS + 6);
  });

  it("says which devices there are where one is missing", async () => {
    const page = await open("/", []);
    const messages = await page.evaluate(async () => {
      const double = (x: import("@jax-js/jax").Array) => x.add(x);
      const refused = (device: string) =>
        engine
          .compile(double, [engine.scalar(1)], { device: device as never })
          .then(() => "compiled", String);
      return [await refused("webgpu"), await refused("cuda")];
    });
    expect(messages[0]).toMatch(/"double" was to run on "webgpu".*no WebGPU adapter.*there: cpu\./);
    expect(messages[1]).toMatch(/"double" was to run on "cuda".*cpu and webgpu.*there: cpu\./);
  });

  it("writes the ONNX file that Node writes", async () => {
    const page = await open("/", []);
    const found = await page.evaluate(async () => {
      const affine = (w: import("@jax-js/jax").Array, x: import("@jax-js/jax").Array) =>
        engine.jax.numpy.tanh(engine.jax.numpy.matmul(w, x));
      const program = await engine.compile(affine, [engine.zeros([3, 4]), engine.zeros([4, 2])]);
      return [...program.toOnnx()];
    });
    const { compile, jax, zeros } = await import("../testing/page.js");
    const affine = (w: import("@jax-js/jax").Array, x: import("@jax-js/jax").Array) =>
      jax.numpy.tanh(jax.numpy.matmul(w, x));
    const program = await compile(affine, [zeros([3, 4]), zeros([4, 2])]);
    expect(found).toEqual([...program.toOnnx()]);
  });
});
