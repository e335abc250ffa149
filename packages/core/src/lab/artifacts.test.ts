import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import S3rver from "s3rver";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { openArtifactStore } from "./artifacts.js";

const key = "0123456789abcdef";
const content = randomBytes(300_000);
let folder: string;
let server: S3rver;
let endpoint: string;
const places: Record<string, () => string> = {
  "a folder": () => join(folder, "shared folder"),
  "an S3-compatible server": () => `s3://artifacts/some/where?endpoint=${endpoint}`,
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-artifacts-"));
  await mkdir(join(folder, "stage/deep"), { recursive: true });
  await writeFile(join(folder, "stage/deep/model.bin"), content);
  await writeFile(join(folder, "stage/manifest.json"), "{}");
  // The key pair that s3rver knows.
  process.env.AWS_ACCESS_KEY_ID = "S3RVER";
  process.env.AWS_SECRET_ACCESS_KEY = "S3RVER";
  server = new S3rver({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: join(folder, "s3"),
    configureBuckets: [{ name: "artifacts", configs: [] }],
  });
  const { port } = (await server.run()) as AddressInfo;
  endpoint = `http://127.0.0.1:${port}`;
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

describe.each(Object.keys(places))("artifacts in %s", (name) => {
  const open = () => openArtifactStore(places[name]());
  const target = () => join(folder, "target");

  test("come back as they were shared", async () => {
    const store = await open();
    await store.publish(key, join(folder, "stage"), ["deep/model.bin", "manifest.json"]);
    expect(await store.download(key, "deep/model.bin", target(), content.length)).toBe(true);
    expect((await readFile(target())).equals(content)).toBe(true);
  });

  test("are missing before they are shared", async () => {
    const store = await open();
    expect(await store.download("f".repeat(16), "manifest.json", target(), 100)).toBe(false);
  });

  test("are not read beyond the length that is expected", async () => {
    const store = await open();
    await store.publish(key, join(folder, "stage"), ["deep/model.bin"]);
    await expect(store.download(key, "deep/model.bin", target(), 1000)).rejects.toThrow("1000 bytes");
  });

  test.each(["../../outside", "", "UPPER-CASE-KEY"])("have no key %j", async (bad) => {
    const store = await open();
    await expect(store.publish(bad, join(folder, "stage"), ["manifest.json"])).rejects.toThrow(
      "key of an artifact",
    );
  });
});

test("a folder holds nothing but whole files under their names", async () => {
  const store = await openArtifactStore(places["a folder"]());
  await store.publish(key, join(folder, "stage"), ["deep/model.bin"]);
  expect(await readdir(join(store.url, key, "deep"))).toEqual(["model.bin"]);
});

test("requests signed with a key that the server does not know are refused with what to check", async () => {
  process.env.AWS_ACCESS_KEY_ID = "somebody-else";
  try {
    const store = await openArtifactStore(places["an S3-compatible server"]());
    const refused = store.publish(key, join(folder, "stage"), ["manifest.json"]);
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toThrow(/InvalidAccessKeyId/);
  } finally {
    process.env.AWS_ACCESS_KEY_ID = "S3RVER";
  }
});

test.each(["ftp://host/place", "s3:///no-bucket"])("%s is no place for artifacts", async (url) => {
  await expect(openArtifactStore(url)).rejects.toThrow(UserError);
});
