// Makes a checkout ready to run: installs the packages and builds. What is done already is not done again.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { step } from "./steps.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export function setup() {
  requireNode(20, 19);
  installPackages();
  step("Building", process.execPath, [inRoot("node_modules/typescript/bin/tsc"), "-b"], { cwd: root });
}

function requireNode(major, minor) {
  const [ownMajor, ownMinor] = process.versions.node.split(".").map(Number);
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return;
  console.error(
    `Outgrow needs Node ${major}.${minor} or newer; this is Node ${process.versions.node}.\n` +
      "Install a newer one, from https://nodejs.org or with a version manager, and try again.",
  );
  process.exit(1);
}

function installPackages() {
  const lock = inRoot("package-lock.json");
  const stamp = inRoot("node_modules/.outgrow-installed");
  // Some packages are machine code, so that a folder copied from another kind of machine is of no use.
  const wanted = () => {
    const versions = existsSync(lock) ? createHash("sha256").update(readFileSync(lock)).digest("hex") : "";
    return `${versions} ${process.platform} ${process.arch}\n`;
  };
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted()) return;
  rmSync(stamp, { force: true });
  const [npm, ...args] = npmCommand();
  step(
    "Installing the packages into node_modules (about 650 MB, once)",
    npm,
    [
      ...args,
      existsSync(lock) ? "ci" : "install",
      // No package needs its install script; onnxruntime-node's fetches CUDA libraries where it finds a CUDA toolkit.
      "--ignore-scripts",
      "--include=dev",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
      "--fetch-retry-mintimeout=1000",
      "--fetch-retry-maxtimeout=5000",
    ],
    {
      cwd: root,
      env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" },
      shell: npm === "npm" && process.platform === "win32",
      advise,
    },
  );
  writeFileSync(stamp, wanted());
}

/** The npm that runs this script, or the one on the path. */
export function npmCommand() {
  const running = process.env.npm_execpath;
  return running?.endsWith("npm-cli.js") ? [process.execPath, running] : ["npm"];
}

function advise(output) {
  const advice = [
    [
      /E(NOTFOUND|AI_AGAIN|CONN|TIMEDOUT|HOSTUNREACH|NETUNREACH|RR_SOCKET)|network/,
      "npm cannot reach its package registry. Check the connection, and npm's proxy and registry settings:\n" +
        "npm config get registry; npm config get https-proxy",
    ],
    [
      /CERT|self.signed/,
      "npm does not trust the registry's certificate: set npm's cafile to that of your network.",
    ],
    [/ENOSPC|EDQUOT/, "The disk is full: free about 1 GB and try again."],
    [/EACCES|EPERM|EROFS/, "This user may not write here: make the folder your own, or clone it elsewhere."],
    [/EUSAGE/, "package.json and package-lock.json do not fit together: run npm install and try again."],
    [/ENOENT/, "npm is not on the path: it comes with Node."],
  ];
  return (
    advice.find(([pattern]) => pattern.test(output))?.[1] ??
    "What npm said is above. Try again, or run npm ci."
  );
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) setup();
