/*
 * English text of any size for benches, from GSM8K and AG News where shared/data lies beside this repository, else from the Markdown
 * files of the installed packages: their lines in random order, every number drawn anew, and one of fifteen longer words put together
 * from two others. Such words are drawn by Zipf's law, so that new kinds of words keep coming as in real text (Heaps' law): 0.3
 * million kinds in 100 MB of the former; AG News alone, whose kinds grow as the 0.6th power of its length, would come to 0.36 million.
 */
import { once } from "node:events";
import { createWriteStream, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "outgrow";

const root = join(import.meta.dirname, "..");
const shared = join(root, "../shared/data");

/** Lines of real text, and where they are from. */
function realLines() {
  const [problems, news] = ["gsm8k/train.jsonl", "ag_news/test.csv"].map((name) => join(shared, name));
  if (existsSync(problems) && existsSync(news)) {
    const rows = readFileSync(problems, "utf8")
      .trim()
      .split("\n")
      .map((row) => JSON.parse(row));
    const lines = rows.flatMap(({ question, answer }) => [question, ...answer.split("\n")]);
    return { from: "GSM8K and AG News", lines: [...lines, ...readFileSync(news, "utf8").split("\n")] };
  }
  const files = readdirSync(join(root, "node_modules"), { recursive: true }).filter((name) =>
    /\.md$/i.test(name),
  );
  return {
    from: "Markdown files of packages",
    lines: files.flatMap((name) => readFileSync(join(root, "node_modules", name), "utf8").split("\n")),
  };
}

/** Writes at least so many bytes of text and says where they are from. */
export async function writeEnglish(file, bytes) {
  const { from, lines: all } = realLines();
  const lines = all.filter((line) => line.length > 10);
  const words = [...new Set(lines.join("\n").match(/\p{L}{4,}/gu))];
  const random = createRandom("english");
  const kinds = Math.log(1e7);
  const madeWord = () => {
    const rank = Math.floor(Math.exp(random.uniform() * kinds));
    const hash = Math.imul(rank, 2654435761) >>> 0;
    const [head, tail] = [words[hash % words.length], words[(Math.imul(hash, 40503) >>> 7) % words.length]];
    return head.slice(0, 2 + (hash % 3)) + tail.slice(-3 - (hash % 2)).toLowerCase();
  };
  const out = createWriteStream(file);
  let written = 0;
  let waiting = "";
  while (written < bytes) {
    waiting += lines[random.integer(lines.length)]
      .replace(/\d+/g, (digits) => String(random.integer(10 ** Math.min(9, digits.length))))
      .replace(/\p{L}{4,}/gu, (word) => (random.integer(15) === 0 ? madeWord() : word));
    waiting += "\n";
    if (waiting.length < 2 ** 20) continue;
    written += Buffer.byteLength(waiting);
    if (!out.write(waiting)) await once(out, "drain");
    waiting = "";
  }
  out.end();
  await once(out, "finish");
  return from;
}
