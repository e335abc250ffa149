import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The folder of everything that is kept between runs: `OUTGROW_HOME`, else `outgrow` in the user's cache folder.
 * Several machines may share one.
 */
export function outgrowHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.OUTGROW_HOME) return resolve(env.OUTGROW_HOME);
  if (process.platform === "win32")
    return join(env.LOCALAPPDATA ?? join(homedir(), "AppData/Local"), "outgrow");
  if (process.platform === "darwin") return join(homedir(), "Library/Caches/outgrow");
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "outgrow");
}

/** Where things are in a home. */
export function homeLayout(home: string) {
  return {
    /** Outputs of stages, by key. */
    stages: join(home, "stages"),
    stage: (key: string) => join(home, "stages", key.slice(0, 2), key),
    /** What stages that are not done yet have written for themselves: checkpoints. */
    works: join(home, "work"),
    work: (key: string) => join(home, "work", key),
    locks: join(home, "locks"),
    /** What is known of every run, by its id. */
    runs: join(home, "runs"),
  };
}
export type HomeLayout = ReturnType<typeof homeLayout>;
