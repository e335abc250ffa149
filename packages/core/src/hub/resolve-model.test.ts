import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { type ResolveModelOptions, resolveModel } from "./resolve-model.js";
import { type HubServer, startHub } from "./testing/hub-server.js";

const sha = createHash("sha1").update("a commit").digest("hex");
const random = createRandom(7);
const weights = Buffer.from(Array.from({ length: 300_000 }, () => random.integer(256)));
const files = {
  "config.json": Buffer.from('{"model_type":"llama"}'),
  "tokenizer.json": Buffer.from('{"model":{}}'),
  "generation_config.json": Buffer.from("{}"),
  "model.safetensors": weights,
  "README.md": Buffer.from("not needed"),
  "pytorch_model.bin": Buffer.from("not needed"),
};
const sharded = {
  "config.json": files["config.json"],
  "model.safetensors.index.json": Buffer.from("{}"),
  "model-00001-of-00002.safetensors": weights.subarray(0, 1000),
  "model-00002-of-00002.safetensors": weights.subarray(1000, 3000),
  "model.safetensors": Buffer.from("not needed"),
};

let home: string;
let hub: HubServer;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "hub-"));
  hub = await startHub({
    "tiny/llama": { sha, files },
    "tiny/sharded": { sha, files: sharded },
    "tiny/gated": { sha, token: "hf_right", files },
    "tiny/old": { sha, files: { "config.json": files["config.json"], "pytorch_model.bin": weights } },
  });
});
afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true, force: true });
});

const resolve = (spec: string, options: ResolveModelOptions = {}) =>
  resolveModel(spec, { home, hubUrl: hub.url, offline: false, accessToken: "", ...options });
const contents = async (folder: string) => {
  const names = (await readdir(folder)).filter((name) => name !== "manifest.json").sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])),
  );
};
const { "README.md": _, "pytorch_model.bin": __, ...needed } = files;

describe("a model from the hub", () => {
  test("what is needed of it, byte for byte; then no network is needed", async () => {
    const progress: number[] = [];
    const folder = await resolve("hf:tiny/llama", { onProgress: ({ received }) => progress.push(received) });
    expect(await contents(folder)).toEqual(needed);
    expect(progress.at(-1)).toBe(Object.values(needed).reduce((sum, bytes) => sum + bytes.length, 0));
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    const requests = hub.requests.length;
    expect(await resolve("hf:tiny/llama")).toBe(folder);
    expect(await resolve("hf:tiny/llama", { offline: true, hubUrl: "http://127.0.0.1:9" })).toBe(folder);
    expect(hub.requests.length).toBe(requests);
  });

  test("a commit is the same folder as the branch that points to it", async () => {
    const folder = await resolve("hf:tiny/llama");
    const sent = hub.sent();
    expect(await resolve(`hf:tiny/llama@${sha}`)).toBe(folder);
    expect(hub.sent()).toBe(sent);
  });

  test("weights in shards", async () => {
    const { "model.safetensors": _, ...rest } = sharded;
    expect(await contents(await resolve("hf:tiny/sharded"))).toEqual(rest);
  });

  test("a cut in the middle: the rest is asked for, and nothing twice", async () => {
    hub.faults.push({ path: "model.safetensors", fault: "cut", after: 100_000 });
    hub.faults.push({ path: "model.safetensors", fault: "unavailable" });
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
    expect(hub.sent()).toBe(Object.values(needed).reduce((sum, bytes) => sum + bytes.length, 0));
  });

  test("a download that was given up goes on where it was", async () => {
    for (let i = 0; i < 12; i++)
      hub.faults.push({ path: "model.safetensors", fault: i === 0 ? "cut" : "unavailable", after: 100_000 });
    await expect(resolve("hf:tiny/llama")).rejects.toMatchObject({ name: "UserError", exitCode: 1 });
    hub.faults.length = 0;
    const sent = hub.sent();
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
    expect(hub.sent() - sent).toBe(weights.length - 100_000);
  });

  test("what was left half and then damaged is downloaded anew", async () => {
    const root = join(home, "hub/tiny/llama", `.partial-${sha}`);
    await mkdir(root, { recursive: true });
    await writeFile(join(root, "model.safetensors"), Buffer.alloc(1000, 7));
    await writeFile(join(root, "config.json"), Buffer.alloc(5000));
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
  });

  test.each(["wrong", "too long"] as const)("content that is %s is never taken", async (fault) => {
    hub.faults.push({ path: "model.safetensors", fault });
    await expect(resolve("hf:tiny/llama")).rejects.toThrow("model.safetensors is not the file with hash");
    expect(await readdir(join(home, "hub/tiny/llama"))).toEqual([`.partial-${sha}`]);
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
  });

  test("a folder that was damaged since is made anew", async () => {
    const folder = await resolve("hf:tiny/llama");
    await truncate(join(folder, "model.safetensors"), 5);
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
  });

  test("two at the same time download it once", async () => {
    const [a, b] = await Promise.all([resolve("hf:tiny/llama"), resolve("hf:tiny/llama")]);
    expect(a).toBe(b);
    expect(hub.sent()).toBe(Object.values(needed).reduce((sum, bytes) => sum + bytes.length, 0));
  });

  test("a gated model takes its token, which is not given to other hosts", async () => {
    await expect(resolve("hf:tiny/gated")).rejects.toMatchObject({
      message: "tiny/gated is not open to everybody, or is not there",
      hint: expect.stringContaining("HF_TOKEN"),
    });
    await expect(resolve("hf:tiny/gated", { accessToken: "hf_wrong" })).rejects.toThrow(
      "the owner of this token",
    );
    expect(await contents(await resolve("hf:tiny/gated", { accessToken: "hf_right" }))).toEqual(needed);
  });

  test("an abort ends it and leaves what is there", async () => {
    const stop = new AbortController();
    const reason = new Error("stopped");
    const onProgress = ({ file }: { file: string }) => file === "model.safetensors" && stop.abort(reason);
    await expect(resolve("hf:tiny/llama", { signal: stop.signal, onProgress })).rejects.toBe(reason);
    expect(await contents(await resolve("hf:tiny/llama"))).toEqual(needed);
  });
});

describe("refusals", () => {
  test.each([
    ["hf:llama", "names no model"],
    ["hf:tiny/../llama", "names no model"],
    ["hf:../llama", "names no model"],
    ["hf:tiny/llama@../../main", "names no model"],
    ["hf:tiny/llama@a@b", "names no model"],
    ["/nowhere/at/all", "there is no such folder"],
    ["hf:tiny/old", "has no model.safetensors"],
    ["hf:tiny/llama@v9", 'tiny/llama has no revision "v9"'],
  ])("%s", async (spec, message) => {
    await expect(resolve(spec)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
    });
  });

  test("a name that is not there, with the nearest that is", async () => {
    await expect(resolve("hf:tiny/lama")).rejects.toMatchObject({
      message: "there is no model tiny/lama on the hub",
      hint: expect.stringContaining("Did you mean hf:tiny/llama?"),
    });
  });

  test("no network", async () => {
    await expect(resolve("hf:tiny/llama", { hubUrl: "http://127.0.0.1:9" })).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("http://127.0.0.1:9 cannot be reached"),
      exitCode: 1,
    });
    await expect(resolve("hf:tiny/llama", { offline: true })).rejects.toThrow("has not been downloaded");
    expect(hub.requests).toEqual([]);
  });

  test("a folder is itself", async () => {
    expect(await resolve(home)).toBe(home);
  });
});
