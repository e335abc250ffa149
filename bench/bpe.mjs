// Byte-level BPE on a file of 100 MB: against reading the file, and against Hugging Face's tokenizers where Python has them.
//
//   npm run bench:lm [-- --json]        PYTHON=/path/to/python3: one that has them (pip install tokenizers)
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { trainBpeOnFiles } from "outgrow";
import { writeEnglish } from "./english.mjs";
import { inTurns, median, milliseconds, report, startPeer } from "./harness.mjs";

const MEGABYTES = 100;
const SIZE = 32_768;
const ROUNDS = 2;

const folder = mkdtempSync(join(tmpdir(), "bpe-"));
const file = join(folder, "english.txt");
try {
  const from = await writeEnglish(file, MEGABYTES * 1e6);
  const options = { vocabularySize: SIZE, specialTokens: ["<|endoftext|>"] };
  const peer = await startPeer("bpe_train.py", [file, String(SIZE)], {
    python: process.env.PYTHON,
    packages: "pip install tokenizers; PYTHON=/path/to/python3",
  });
  const times = await inTurns(ROUNDS, {
    ours: () => milliseconds(() => trainBpeOnFiles([file], options)),
    ...(peer ? { peer: async () => (await peer.ask({})).seconds * 1000 } : {}),
    read: () => milliseconds(() => readFileSync(file)),
  });
  peer?.stop();
  const seconds = Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, median(list) / 1000]),
  );
  report([
    {
      name: `BPE, ${MEGABYTES} MB, ${SIZE} tokens`,
      unit: "s",
      ours: seconds.ours,
      peer: seconds.peer ?? null,
      ratio: peer ? seconds.peer / seconds.ours : null,
      note: `${from}${peer ? `; peer: ${peer.ready.name}` : ""}`,
    },
    {
      name: "seconds for it",
      unit: "s",
      ours: seconds.ours,
      target: "<= 60",
      note: `${(seconds.ours / seconds.read).toFixed(0)} times as long as reading the file, which is in memory, takes`,
    },
  ]);
} finally {
  rmSync(folder, { recursive: true });
}
