import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import {
  type ComparedRun,
  homeLayout,
  outgrowHome,
  readManifest,
  readRunRecord,
  readRunStages,
  runFileName,
  UserError,
} from "outgrow/records";

/**
 * A run by its id or by its folder of results, all that is read of it checked.
 *
 * @throws UserError when there is none, or it is damaged
 */
export async function findRun(named: string): Promise<ComparedRun> {
  const folder = await folderOf(named);
  const record = readRunRecord(folder);
  return { record, stages: readRunStages(folder, record) };
}

async function folderOf(named: string): Promise<string> {
  const atHome = join(homeLayout(outgrowHome()).runs, basename(named));
  if (named === basename(named) && existsSync(join(atHome, runFileName))) return atHome;
  const folder = resolve(named);
  if (existsSync(join(folder, runFileName))) {
    await readManifest(folder);
    return folder;
  }
  throw new UserError(`there is no run "${named}"`, {
    hint: "Give an id that `outgrow runs` lists, or the folder of a run's results.",
  });
}
