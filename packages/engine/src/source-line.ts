/** Where a frame of a stack trace is: a file, as a path or URL, with line and column. */
const FRAME = /(?:\(|at (?:async )?|@)((?:file:\/\/|https?:\/\/|\/|[A-Za-z]:[\\/])[^()]*?:\d+:\d+)\)?\s*$/;

const pathOf = (place: string) => decodeURI(place.replace(/^file:\/\/(?=\/)/, ""));
const engineFolder = pathOf(new URL("./", import.meta.url).href);

/** Whether a file is somebody's own: no package, no part of Node, and no part of the engine but its tests. */
function isUsers(place: string): boolean {
  if (/[\\/]node_modules[\\/]/.test(place)) return false;
  return !place.startsWith(engineFolder) || /\.test\.[jt]s:/.test(place);
}

const framesOf = (stack: string): { frame: string; place: string | undefined }[] =>
  stack
    .split("\n")
    .filter((line) => /^\s*at |@/.test(line))
    .map((frame) => {
      const place = FRAME.exec(frame)?.[1];
      return { frame, place: place === undefined ? undefined : pathOf(place) };
    });

/** The innermost line of the user's own code in a stack trace, e.g. "/home/me/train.ts:12:20". */
export function userLine(stack: string | undefined): string | undefined {
  return framesOf(stack ?? "").find(({ place }) => place !== undefined && isUsers(place))?.place;
}

/** The frames of a stack trace from the user's own innermost one outwards; all if there is none. */
export function framesFromUserLine(stack: string | undefined): string[] {
  const frames = framesOf(stack ?? "");
  const first = frames.findIndex(({ place }) => place !== undefined && isUsers(place));
  return frames.slice(Math.max(first, 0)).map(({ frame }) => frame);
}

/** Whether an error was made inside jax-js, rather than by the function that jax-js was tracing. */
export function isThrownByJaxJs(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const place = framesOf(error.stack ?? "").find((frame) => frame.place !== undefined)?.place;
  return place !== undefined && /[\\/]@jax-js[\\/]jax[\\/]/.test(place);
}

/** Runs `body` with stack traces that are long enough to reach through jax-js to the user's code. */
export function withLongStacks<Result>(body: () => Result): Result {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 200;
  try {
    return body();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
