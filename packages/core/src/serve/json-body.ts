import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.js";

/** Deeper values are nobody's request, and recursive checks of them would overflow the stack. */
const maxDepth = 64;

/** @throws ApiError with status 400, 413 or 415 for a body that is not JSON in UTF-8, too long, or nested too deeply */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const {
    "content-type": type = "",
    "content-encoding": encoding,
    "content-length": length,
  } = request.headers;
  // A form of another site's page could have sent any other type without being asked first.
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError({ status: 415, message: "The Content-Type must be application/json." });
  }
  if (encoding !== undefined && encoding !== "identity") {
    throw new ApiError({ status: 415, message: "A Content-Encoding is not supported." });
  }
  const tooLong = () =>
    new ApiError({
      status: 413,
      message: `The body is longer than ${maxBytes} bytes.`,
      headers: { Connection: "close" },
    });
  if (Number(length) > maxBytes) throw tooLong();
  const chunks: Buffer[] = [];
  let bytes = 0;
  // The connection is still needed to say what is wrong.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new ApiError({ status: 400, message: "The body is not JSON in UTF-8." });
  }
  if (depthExceeds(body, maxDepth)) {
    throw new ApiError({ status: 400, message: `The body is nested more than ${maxDepth} deep.` });
  }
  return body;
}

function depthExceeds(value: unknown, most: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > most) return true;
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? Object.values(one) : []));
  }
  return false;
}
