import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { Lab, type LabOptions, type StageEvent } from "./lab.js";
import type { StageOutput } from "./output.js";
import { defineStage, fromStage, fromValue, given } from "./stage.js";

let home: string;
let ran: string[];
let events: StageEvent[];
let warnings: string[];
let lab: Lab;
const open = (options: LabOptions = {}) =>
  new Lab({
    home,
    onStage: (event) => events.push(event),
    warn: (warning) => warnings.push(warning),
    ...options,
  });
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-lab-"));
  [ran, events, warnings] = [[], [], []];
  lab = open();
});
afterEach(async () => {
  await lab.close();
  await rm(home, { recursive: true });
});

const count = defineStage({
  name: "test/count",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ to: z.int().default(3), by: z.int().default(1) }),
  inputs: { offset: fromValue<number>() },
  async run({ config, inputs, folder }) {
    ran.push("count");
    const numbers = Array.from({ length: config.to }, (_, i) => inputs.offset.value + i * config.by);
    await writeFile(join(folder, "numbers.json"), JSON.stringify(numbers));
  },
});

/** Its output does not tell whether the numbers came in this or that order. */
const sum = defineStage({
  name: "test/sum",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({}),
  inputs: { numbers: fromStage },
  async run({ inputs, folder }) {
    ran.push("sum");
    const numbers = await inputs.numbers.json<number[]>("numbers.json");
    await writeFile(join(folder, "sum.json"), JSON.stringify(numbers.reduce((a, b) => a + b, 0)));
  },
});

const total = async (output: StageOutput) => output.json<number>("sum.json");

describe("a stage", () => {
  test("is computed once, and is the same for another lab with the same home", async () => {
    const first = await lab.run(count, {}, { offset: given(1) });
    expect(await first.json("numbers.json")).toEqual([1, 2, 3]);
    const again = await open().run(count, { to: 3 }, { offset: given(1) });
    expect(ran).toEqual(["count"]);
    expect([first.cached, again.cached]).toEqual([false, true]);
    expect([again.key, again.hash]).toEqual([first.key, first.hash]);
    expect(events.map(({ stage, cached, hash }) => [stage, cached, hash])).toEqual([
      ["test/count", false, first.hash],
      ["test/count", true, first.hash],
    ]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["configuration", () => lab.run(count, { to: 4 }, { offset: given(1) })],
    ["input", () => lab.run(count, {}, { offset: given(2) })],
    ["type of input", () => lab.run(count, {}, { offset: given("1" as unknown as number) })],
    ["version", () => lab.run({ ...count, version: 2 }, {}, { offset: given(1) })],
    ["name", () => lab.run({ ...count, name: "test/other" }, {}, { offset: given(1) })],
    [
      "code",
      () =>
        lab.run({ ...count, code: new URL("./stage.ts", import.meta.url).href }, {}, { offset: given(1) }),
    ],
  ])("runs again with another %s", async (_, run) => {
    await lab.run(count, {}, { offset: given(1) });
    await run();
    expect(ran).toEqual(["count", "count"]);
  });

  test("does not run again when its input was made in another way but has the same bits", async () => {
    const one = await lab.run(count, { to: 1 }, { offset: given(5) });
    const other = await lab.run(count, { to: 1, by: 7 }, { offset: given(5) });
    expect(other.key).not.toBe(one.key);
    expect(other.hash).toBe(one.hash);
    await lab.run(sum, {}, { numbers: one });
    expect((await lab.run(sum, {}, { numbers: other })).cached).toBe(true);
  });

  test("says beside its output how it came to be", async () => {
    const { folder, key } = await lab.run(count, {}, { offset: given(1) });
    expect(JSON.parse(await readFile(join(folder, "stage.json"), "utf8"))).toMatchObject({
      name: "test/count",
      version: 1,
      key,
      config: { to: 3, by: 1 },
      inputs: { offset: given(1).hash },
      environment: { node: process.versions.node },
    });
  });

  test("that is asked for twice at the same time runs once", async () => {
    const both = await Promise.all([1, 2].map(() => lab.run(count, {}, { offset: given(1) })));
    const third = await Promise.all(
      [open(), open()].map((own) => own.run(count, { to: 9 }, { offset: given(1) })),
    );
    expect(ran).toEqual(["count", "count"]);
    expect(both[0].hash).toBe(both[1].hash);
    expect(third[0].hash).toBe(third[1].hash);
    expect(third.map(({ cached }) => cached).sort()).toEqual([false, true]);
    expect(await readdir(join(home, "locks"))).toEqual([]);
  });

  test("refuses an unknown field, a missing input and one too many", async () => {
    await expect(lab.run(count, { too: 3 } as never, { offset: given(1) })).rejects.toThrow(
      /did you mean "to"/,
    );
    await expect(lab.run(count, {}, {} as never)).rejects.toThrow(/"offset" is missing/);
    await expect(lab.run(count, {}, { offset: given(1), ofset: given(1) } as never)).rejects.toThrow(
      /"ofset" is unknown/,
    );
    expect(ran).toEqual([]);
  });

  test("that fails leaves no output and its error, and may run again", async () => {
    let fails = true;
    const flaky = {
      ...count,
      run: async (context: Parameters<typeof count.run>[0]) => {
        await writeFile(join(context.folder, "half"), "x");
        if (fails) throw new Error("no luck");
        await count.run(context);
      },
    };
    await expect(lab.run(flaky, {}, { offset: given(1) })).rejects.toThrow("no luck");
    expect(await readdir(join(home, "stages"), { recursive: true })).toHaveLength(1); // the folder of the key's first letters
    fails = false;
    expect((await lab.run(flaky, {}, { offset: given(1) })).files).toContain("numbers.json");
  });

  test("keeps its scratch folder when it fails, and has lost it when it is done", async () => {
    const seen: string[][] = [];
    const slow = {
      ...count,
      run: async (context: Parameters<typeof count.run>[0]) => {
        seen.push(await readdir(context.work));
        await writeFile(join(context.work, "half"), "x");
        if (seen.length === 1) throw new Error("killed");
        await count.run(context);
      },
    };
    await expect(lab.run(slow, {}, { offset: given(1) })).rejects.toThrow("killed");
    await lab.run(slow, {}, { offset: given(1) });
    expect(seen).toEqual([[], ["half"]]);
    expect(await readdir(join(home, "work"))).toEqual([]);
  });

  test("takes away what one that was killed at it has left half-written", async () => {
    const { key, folder } = await lab.run(count, {}, { offset: given(1) });
    await rm(folder, { recursive: true });
    await mkdir(join(folder, `../.${key}.staging-1`), { recursive: true });
    await mkdir(join(folder, "../.another.staging-1"));
    await lab.run(count, {}, { offset: given(1) });
    expect((await readdir(join(folder, ".."))).sort()).toEqual([".another.staging-1", key]);
  });

  test("stops when it is aborted, and nothing is kept", async () => {
    const stop = new AbortController();
    const endless = {
      ...count,
      run: async ({ signal }: Parameters<typeof count.run>[0]) => {
        stop.abort(new Error("enough"));
        signal.throwIfAborted();
      },
    };
    await expect(lab.run(endless, {}, { offset: given(1) }, { signal: stop.signal })).rejects.toThrow(
      "enough",
    );
    expect((await lab.lookUp(count, {}, { offset: given(1) })).cached).toBe(false);
  });

  test("shares what is made once in a process, until the lab is closed", async () => {
    let [made, disposed] = [0, 0];
    const sharing = {
      ...count,
      run: async (context: Parameters<typeof count.run>[0]) => {
        context.shared("program", () => {
          made++;
          return { dispose: () => disposed++ };
        });
        await count.run(context);
      },
    };
    for (const to of [1, 2]) await lab.run(sharing, { to }, { offset: given(1) });
    expect([made, disposed]).toEqual([1, 0]);
    await lab.close();
    expect([made, disposed]).toEqual([1, 1]);
  });
});

describe("damage", () => {
  /** Inverts a bit of a file in the middle. */
  const alter = async (path: string, at = 0.5) => {
    const bytes = await readFile(path);
    bytes[Math.floor(at * bytes.length)] ^= 1;
    await writeFile(path, bytes);
  };

  test.each(["numbers.json", "manifest.json"])("to %s is noticed, named and mended", async (name) => {
    const numbers = await lab.run(count, {}, { offset: given(1) });
    await alter(join(numbers.folder, name));
    const again = await lab.run(count, {}, { offset: given(1) });
    expect(await total(await lab.run(sum, {}, { numbers: again }))).toBe(6);
    expect(ran.filter((stage) => stage === "count")).toHaveLength(2);
    expect(warnings).toEqual([expect.stringContaining(name)]);
  });

  test("that comes while the output is in use is mended on reading", async () => {
    const numbers = await lab.run(count, {}, { offset: given(1) });
    await alter(join(numbers.folder, "numbers.json"));
    expect(await numbers.json("numbers.json")).toEqual([1, 2, 3]);
    await rm(numbers.folder, { recursive: true });
    expect(await numbers.json("numbers.json")).toEqual([1, 2, 3]);
    expect(ran).toHaveLength(3);
  });

  test("of a stage that gives other bits the second time is refused", async () => {
    let time = 0;
    const clock = {
      ...count,
      run: ({ folder }: Parameters<typeof count.run>[0]) => writeFile(join(folder, "a.json"), `${time++}`),
    };
    const output = await lab.run(clock, {}, { offset: given(1) });
    await alter(join(output.folder, "a.json"));
    await expect(output.read("a.json")).rejects.toThrow(/came out with other bits/);
  });

  test("an output in another's place is not taken for it", async () => {
    const [one, two] = [
      await lab.run(count, { to: 1 }, { offset: given(1) }),
      await lab.run(count, { to: 2 }, { offset: given(1) }),
    ];
    await rm(two.folder, { recursive: true });
    await cp(one.folder, two.folder, { recursive: true });
    expect(await (await lab.run(count, { to: 2 }, { offset: given(1) })).json("numbers.json")).toEqual([
      1, 2,
    ]);
    expect(warnings).toEqual([expect.stringContaining("another stage")]);
  });
});
