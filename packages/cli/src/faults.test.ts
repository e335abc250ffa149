/*
 * Runs under faults: killed, without room, with a cache that cannot be written to, with bytes altered. Each ends with the same
 * bits as a run that nothing disturbed, or says what is wrong. `npm run faults -- --kills 200` kills more often.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom, readManifest, readRunRecord, type UserError, verifyCache } from "outgrow";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type CommandOptions, type Ended, ensureBuilt, runCommand, runForJson } from "./testing/command.js";

let folder: string;
let undisturbed: Finished;
let milliseconds: number;
beforeAll(async () => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-faults-"));
  writeFileSync(join(folder, "a.csv"), csv());
  const begun = performance.now();
  undisturbed = await fit({ home: join(folder, "home"), out: join(folder, "undisturbed") });
  milliseconds = performance.now() - begun;
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Sixty rows of two classes, with a fifth of the weak labels wrong. */
function csv(): string {
  const rows = Array.from({ length: 60 }, (_, row) => {
    const truth = row % 2 === 0 ? "yes" : "no";
    const weak = row % 5 === 0 ? (row % 2 === 0 ? "no" : "yes") : truth;
    return `r${row},${row % 2},${row % 7},${weak},${truth}`;
  });
  return `id,size,age,weak,truth\n${rows.join("\n")}\n`;
}

const given = [
  "--features",
  "size",
  "age",
  "--weak",
  "weak",
  "--truth",
  "truth",
  "--method",
  "naive",
  "--seeds",
  "1",
];
/** A checkpoint is written after every step. */
const fitArgs = ["fit", "a.csv", ...given, "--pretrain-epochs", "60", "--checkpoint", "0"];
const options = (home: string): CommandOptions => ({ cwd: folder, env: { OUTGROW_HOME: home } });

interface Finished {
  id: string;
  folder: string;
  records: unknown;
}

const fit = ({ home, out }: { home: string; out: string }) =>
  runForJson<Finished>([...fitArgs, "--out", out], options(home));

/** SHA-256 of the files of results. */
const resultsOf = ({ folder: results }: Finished) => readRunRecord(results).files;

const newPath = (name: string) => join(mkdtempSync(join(folder, "case-")), name);

/** What is damaged in a home. */
async function damages(home: string): Promise<string[]> {
  const found: UserError[] = [];
  await verifyCache(home, (error) => found.push(error));
  return found.map((error) => error.toString());
}

describe("killed with SIGKILL at a random moment, and started again", () => {
  const kills = Number(process.env.OUTGROW_KILLS ?? 4);
  const random = createRandom(process.env.OUTGROW_KILL_SEED ?? "kills");

  test(`${kills} times: the same bits, and nothing torn`, { timeout: 60_000 + kills * 20_000 }, async () => {
    let [killed, finished, inWork] = [0, 0, 0];
    while (killed < kills || finished === 0) {
      const home = newPath("home");
      for (;;) {
        const out = newPath("results");
        let timer: NodeJS.Timeout | undefined;
        const ended: Ended = await runCommand([...fitArgs, "--out", out, "--json"], {
          ...options(home),
          onStart(child) {
            const wait = random.uniform() * milliseconds;
            if (killed < kills) timer = setTimeout(() => child.kill("SIGKILL"), wait);
          },
        });
        clearTimeout(timer);
        expect(await damages(home)).toEqual([]);
        if (ended.code === 0) {
          expect(resultsOf(JSON.parse(ended.stdout))).toEqual(resultsOf(undisturbed));
          await readManifest(out);
          expect(existsSync(join(home, "work")) ? readdirSync(join(home, "work")) : []).toEqual([]);
          finished++;
          break;
        }
        expect(ended.code, ended.stderr).toBe(null); // by the signal, and not by an error
        killed++;
        if (existsSync(join(home, "work"))) inWork += readdirSync(join(home, "work")).length;
        // Results are there whole or not at all.
        if (existsSync(out)) await readManifest(out);
      }
    }
    if (kills >= 50) expect(inWork).toBeGreaterThan(0); // some of them in a training
    console.log(`${killed} kills, ${inWork} of them in a training, ${finished} runs finished`);
  });
});

describe("two at the same time", () => {
  test("share the work: every stage is computed once", async () => {
    const home = newPath("home");
    const both = await Promise.all([1, 2].map(() => fit({ home, out: newPath("results") })));
    const computed = both.flatMap((run) =>
      readFileSync(join(run.folder, "stages.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { key: string; cached: boolean })
        .filter(({ cached }) => !cached)
        .map(({ key }) => key),
    );
    expect(computed.length).toBeGreaterThan(2);
    expect(new Set(computed).size).toBe(computed.length);
    for (const run of both) expect(resultsOf(run)).toEqual(resultsOf(undisturbed));
  });
});

describe("rerun", () => {
  test("ends with the same bits and says so, by id and by folder", async () => {
    const home = join(folder, "home");
    const byId = await runCommand(["rerun", undisturbed.id, "--out", newPath("results")], options(home));
    expect(byId.stdout).toMatch(/The same bits as .*: \d+ files and 4 stages have the same hashes/);
    expect(byId.code).toBe(0);
    type Repeated = { same: boolean; files: unknown[]; stages: { same: number } };
    const args = ["rerun", undisturbed.folder, "--out", newPath("results")];
    expect(await runForJson<Repeated>(args, options(home))).toMatchObject({
      same: true,
      files: [],
      stages: { same: 4, onlySecond: {} },
    });
  });

  test("refuses a run whose file was altered since", async () => {
    const home = newPath("home");
    const own = mkdtempSync(join(folder, "case-"));
    writeFileSync(join(own, "a.csv"), csv());
    const { id } = await runForJson<Finished>([...fitArgs, "--out", "results"], {
      cwd: own,
      env: { OUTGROW_HOME: home },
    });
    writeFileSync(join(own, "a.csv"), csv().replace("r4,0,4", "r4,1,4"));
    const { code, stderr } = await runCommand(["rerun", id], options(home));
    expect(stderr).toMatch(/a\.csv: the file that the run read as its data was altered since/);
    expect(code).toBe(2);
  });
});

describe("a byte that was altered", () => {
  const flip = (path: string) => {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] ^= 8;
    writeFileSync(path, bytes);
    return () => {
      bytes[bytes.length >> 1] ^= 8;
      writeFileSync(path, bytes);
    };
  };
  const filesIn = (path: string) =>
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));

  test("in each file of a results folder is named, and the folder refused", async () => {
    const files = filesIn(undisturbed.folder);
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) {
      const mend = flip(file);
      await expect(readManifest(undisturbed.folder)).rejects.toMatchObject({ place: { file } });
      mend();
    }
    flip(join(undisturbed.folder, "metrics.jsonl"))();
    const mend = flip(join(undisturbed.folder, "predictions.csv"));
    for (const command of ["rerun", "diff"]) {
      const args = [command, undisturbed.folder, ...(command === "diff" ? [undisturbed.folder] : [])];
      const { code, stderr } = await runCommand(args, options(join(folder, "home")));
      expect(stderr).toContain(`${join(undisturbed.folder, "predictions.csv")}: the file was altered`);
      expect(code).toBe(1);
    }
    mend();
  });

  test("in the record of a run is told by runs and verify", async () => {
    const home = newPath("home");
    const { id } = await fit({ home, out: newPath("results") });
    for (const name of ["run.json", "stages.jsonl", "metrics.jsonl"]) {
      const file = join(home, "runs", id, name);
      const mend = flip(file);
      const verify = await runCommand(["cache", "verify"], options(home));
      expect([verify.code, verify.stdout]).toEqual([
        1,
        expect.stringContaining(`${file}: the record of the run is damaged`),
      ]);
      mend();
    }
    flip(join(home, "runs", id, "run.json"));
    const listed = await runCommand(["runs"], options(home));
    expect([listed.code, listed.stderr]).toEqual([
      1,
      expect.stringContaining("the record of the run is damaged"),
    ]);
  });

  test("in a checkpoint is named, and the training begins anew with the same bits", async () => {
    const home = newPath("home");
    const work = join(home, "work");
    const checkpoints = () =>
      existsSync(work) ? filesIn(work).filter((file) => file.endsWith("/pretraining.safetensors")) : [];
    await runCommand([...fitArgs, "--out", newPath("results")], {
      ...options(home),
      onStart(child) {
        const timer = setInterval(() => {
          if (checkpoints().length === 0 && child.exitCode === null) return;
          clearInterval(timer);
          child.kill("SIGKILL");
        }, 5);
      },
    });
    const [checkpoint] = checkpoints();
    flip(checkpoint);
    expect((await damages(home)).join()).toContain(checkpoint);
    const seldom = [...fitArgs, "--checkpoint", "20"];
    const second = await runCommand([...seldom, "--out", newPath("results"), "--json"], options(home));
    expect(second.stderr).toContain(`${checkpoint}: the checkpoint was altered`);
    expect(second.code).toBe(0);
    const fresh = await runForJson<Finished>(
      [...fitArgs, "--out", newPath("results")],
      options(newPath("home")),
    );
    expect(resultsOf(JSON.parse(second.stdout))).toEqual(resultsOf(fresh));
  });
});

describe("disks", () => {
  const mounted: string[] = [];
  /** A file system in memory, or undefined where this process may not mount one. */
  const mount = (path: string, how: string): string | undefined => {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
    mkdirSync(path, { recursive: true });
    if (spawnSync("mount", ["-t", "tmpfs", "-o", how, "tmpfs", path]).status !== 0) return undefined;
    mounted.push(path);
    return path;
  };
  afterEach(() => {
    for (const path of mounted.splice(0)) spawnSync("umount", [path]);
  });

  test("a home that is full is told; with more room the same command goes on to the same bits", async (context) => {
    const home = mount(newPath("home"), "size=400k");
    if (home === undefined) return context.skip("only root can mount a small disk");
    const out = newPath("results");
    const { code, stdout, stderr } = await runCommand([...fitArgs, "--out", out], options(home));
    expect(stderr).toContain("the disk is full");
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, ""]);
    expect(existsSync(out)).toBe(false);
    expect(await damages(home)).toEqual([]);
    spawnSync("mount", ["-o", "remount,size=50m", home]);
    expect(resultsOf(await fit({ home, out }))).toEqual(resultsOf(undisturbed));
  });

  test("a home that is read-only is refused before the work", async (context) => {
    const home = mount(newPath("home"), "ro");
    if (home === undefined) return context.skip("only root can mount a read-only disk");
    const out = newPath("results");
    const { code, stdout, stderr } = await runCommand([...fitArgs, "--out", out], options(home));
    expect(stderr).toContain("the disk is read-only");
    expect(stderr).toContain("Set OUTGROW_HOME to a folder that can be written to.");
    expect(stderr).not.toMatch(/done in|^\s+at /m);
    expect([code, stdout]).toEqual([1, ""]);
    expect(existsSync(out)).toBe(false);
  });

  test("a home in parts on three file systems, and results on a fourth, is as good as any", async (context) => {
    const home = newPath("home");
    mkdirSync(home);
    for (const part of ["stages", "work", "locks"]) {
      const disk = mount(newPath(part), "size=50m");
      if (disk === undefined) return context.skip("only root can mount disks");
      symlinkSync(disk, join(home, part));
    }
    const run = await fit({ home, out: newPath("results") });
    expect(resultsOf(run)).toEqual(resultsOf(undisturbed));
    expect(await damages(home)).toEqual([]);
  });
});
