import { spawnSync } from "node:child_process";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { acquire, isGone, isLocked, processIdentity } from "./lock.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-lock-"));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

const never = async () => false;
const elsewhere = { ...processIdentity, host: "another-machine", id: "theirs" };
const gone = () => ({ ...processIdentity, pid: spawnSync(process.execPath, ["-e", ""]).pid, id: "theirs" });
const place = (owner: object, number = 1) =>
  writeFile(join(folder, `a.${number}`), `${JSON.stringify(owner)}\n`);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test("a free lock is taken, tells its owner, and is gone once released", async () => {
  const lock = await acquire(folder, "a", never);
  const [line] = (await readFile(join(folder, "a.1"), "utf8")).split("\n");
  expect(JSON.parse(line)).toMatchObject({ ...processIdentity });
  expect(await isLocked(folder, "a")).toBe(true);
  expect(await isLocked(folder, "b")).toBe(false);
  await lock?.release();
  expect(await readdir(folder)).toEqual([]);
});

test("of many that want it one has it at a time", async () => {
  let [inside, most, turns] = [0, 0, 0];
  const worker = async () => {
    const lock = await acquire(folder, "a", never);
    inside++;
    most = Math.max(most, inside);
    await pause(2);
    inside--;
    turns++;
    await lock?.release();
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  expect([most, turns]).toEqual([1, 8]);
});

test("who waits is told for whom, and stops when there is nothing left to do or when aborted", async () => {
  await place({ ...processIdentity, id: "theirs" });
  let done = false;
  const waits: unknown[] = [];
  const waiting = acquire(folder, "a", async () => done, { onWait: (owner) => waits.push(owner) });
  await pause(30);
  done = true;
  expect(await waiting).toBeUndefined();
  expect(waits).toEqual([expect.objectContaining({ pid: process.pid, host: processIdentity.host })]);
  const stop = new AbortController();
  const aborted = acquire(folder, "a", never, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");
});

describe("an owner that is dead", () => {
  test("is known at once where its process was on this machine", async () => {
    await place(gone());
    expect(await isLocked(folder, "a")).toBe(false);
    const before = performance.now();
    const lock = await acquire(folder, "a", never);
    expect(performance.now() - before).toBeLessThan(5000); // far from the patience of a minute
    expect(await readdir(folder)).toEqual(["a.1", "a.2"]);
    await lock?.release();
    expect(await readdir(folder)).toEqual([]);
  });

  test("is known at once where its number is another process's now, or the machine was started anew", () => {
    expect(isGone(processIdentity)).toBe(false);
    if (processIdentity.started !== "") expect(isGone({ ...processIdentity, started: "1" })).toBe(true);
    if (processIdentity.boot.trim() !== "")
      expect(isGone({ ...processIdentity, boot: "earlier" })).toBe(true);
  });

  test("of another machine is known by its heartbeat, one of many taking over", async () => {
    await place(elsewhere);
    const taken = await Promise.all(
      [1, 2, 3].map(async () => {
        const lock = await acquire(folder, "a", async () => (await readdir(folder)).includes("a.2"), {
          patience: 60,
        });
        return lock !== undefined;
      }),
    );
    expect(taken.filter(Boolean)).toHaveLength(1);
  });

  test("was killed while it wrote its name", async () => {
    await writeFile(join(folder, "a.1"), `{"host": "ano`);
    expect(await acquire(folder, "a", never, { patience: 30 })).toBeDefined();
  });
});

test("an owner on another machine whose heart beats keeps its lock, whatever the clocks say", async () => {
  await place(elsewhere);
  const beating = setInterval(() => void appendFile(join(folder, "a.1"), "."), 20);
  vi.useFakeTimers({ toFake: ["Date"], now: 0 }); // in 1970, and later in 2100
  let taken = false;
  const waiting = acquire(folder, "a", never, { patience: 200 }).then((lock) => {
    taken = true;
    return lock;
  });
  await pause(300);
  vi.setSystemTime(new Date("2100-01-01"));
  await pause(300);
  expect(taken).toBe(false);
  clearInterval(beating);
  await (await waiting)?.release();
});

test("the heart beats while a lock is held, and not after", async () => {
  const lock = await acquire(folder, "a", never, { heartbeat: 10 });
  await vi.waitFor(async () => expect(await readFile(join(folder, "a.1"), "utf8")).toMatch(/\n\.\.+$/));
  await lock?.release();
  await pause(40);
  expect(await readdir(folder)).toEqual([]);
});

test("a folder that cannot be written to is told", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(acquire(join(folder, "file"), "a", never)).rejects.toMatchObject({ code: "ENOTDIR" });
});
