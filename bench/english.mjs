/*
 * English text of any size for benches. From GSM8K and AG News where `shared/data` lies beside this repository, else from the
 * Markdown files of the installed packages: their sentences in random order, in which every number is drawn anew and one word of
 * twenty becomes one that is put together from two others. Such words are drawn by Zipf's law, so that new kinds of words keep
 * coming as in real text (Heaps' law): of 100 MB from the former, 0.4 million, which is what AG News comes to if its growth goes on.
 */
import { createWriteStream, existsSync, globSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
