import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import type { StoredType } from "../safetensors.js";
import { cachedLogits, largestDifference, paddedLogits } from "../testing/logits.js";
import { smallConfigs, smallModel } from "../testing/small-models.js";
import { loadLanguageModel } from "./load.js";
import { type SaveOptions, saveLanguageModel } from "./save.js";

const random = createRandom("pytorch");
const texts = [20, 13].map((length) => Array.from({ length }, () => random.integer(300)));
const stored: [string, SaveOptions][] = [
  ...Object.keys(smallConfigs).map((name): [string, SaveOptions] => [name, {}]),
  ["Qwen3", { dtype: "bfloat16" }],
  ["GPT-2", { dtype: "float16", maxShardBytes: 20_000 }],
];

describe("logits of saved models are those of plain PyTorch from the same files", () => {
  let folder: string;
  let theirs: number[][][] | undefined;
  const place = (i: number) => join(folder, String(i));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-pytorch-"));
    for (const [i, [name, options]] of stored.entries()) {
      await saveLanguageModel(place(i), smallModel(name), options);
    }
    const requests = stored.flatMap((_, i) => texts.map((tokens) => ({ folder: place(i), tokens })));
    const { status, stdout, stderr } = spawnSync(
      "/usr/bin/python3",
      [fileURLToPath(new URL("pytorch_logits.py", import.meta.url))],
      { input: JSON.stringify(requests), encoding: "utf8", maxBuffer: 2 ** 28 },
    );
    if (status === 0) theirs = JSON.parse(stdout);
    else if (status !== null && !/No module named|No such file/.test(stderr)) throw new Error(stderr);
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true }));

  test.for(
    stored.map(([name, options], i): [string, StoredType, number] => [name, options.dtype ?? "float32", i]),
  )("%s in %s: padded, and with a cache", async ([, , i], { skip }) => {
    if (!theirs)
      return skip("PyTorch is not installed for /usr/bin/python3 (Debian: apt-get install python3-torch)");
    const model = await loadLanguageModel(place(i));
    const [long, short] = theirs.slice(i * texts.length);
    const padded = await paddedLogits(model, texts);
    expect(largestDifference(padded[0], long)).toBeLessThan(1e-4);
    expect(largestDifference(padded[1], short)).toBeLessThan(1e-4);
    expect(largestDifference(await cachedLogits(model, texts[0], 14), long)).toBeLessThan(1e-4);
    // A difference would be seen: the logits are not all alike.
    expect(largestDifference(long.slice(1), long.slice(0, -1))).toBeGreaterThan(0.5);
  });
});
