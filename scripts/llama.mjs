// npm run llama: installs llama.cpp, as node-llama-cpp with its binary for this machine's CPU, into node_modules/.cache/llama.
// Tests and benches compare with it where it is there. It is no devDependency, because that would fetch 700 MB of
// binaries for graphics cards as well. Nothing is built, and what is installed fetches nothing.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inRoot, npmCommand, setup } from "./setup.mjs";
import { step } from "./steps.mjs";

const version = "3.22.1";
const binaries = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-arm64": "mac-arm64-metal",
  "darwin-x64": "mac-x64",
  "win32-x64": "win-x64",
  "win32-arm64": "win-arm64",
};

const binary = binaries[`${process.platform}-${process.arch}`];
if (binary === undefined) {
  console.error(`llama.cpp is not installed: there is no binary for ${process.platform}-${process.arch}.`);
  process.exit();
}
setup(); // first, because npm ci empties node_modules
const folder = inRoot("node_modules/.cache/llama");
const wanted = `${JSON.stringify({
  private: true,
  type: "module",
  dependencies: { "node-llama-cpp": version, [`@node-llama-cpp/${binary}`]: version },
})}\n`;
const stamp = join(folder, "installed.json");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), wanted);
  const [npm, ...args] = npmCommand();
  step(
    "Installing llama.cpp into node_modules/.cache/llama (about 90 MB, once)",
    npm,
    [
      ...args,
      "install",
      "--omit=optional",
      "--ignore-scripts",
      "--no-package-lock",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
      "--fetch-retry-mintimeout=1000",
      "--fetch-retry-maxtimeout=5000",
    ],
    { cwd: folder, shell: npm === "npm" && process.platform === "win32" },
  );
  writeFileSync(stamp, wanted);
}
