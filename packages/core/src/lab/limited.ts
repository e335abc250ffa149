import { Transform } from "node:stream";

/** Passes bytes on, and fails once there are more than `maxBytes`: what comes from elsewhere may be of any length. */
export function limitedTo(maxBytes: number, source: string): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) done(new Error(`${source} has more than the ${maxBytes} bytes of its manifest`));
      else done(null, chunk);
    },
  });
}
