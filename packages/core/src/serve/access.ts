import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.js";

/** Whether only this machine can reach a server that is bound to the host. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

const hash = (text: string) => createHash("sha256").update(text).digest();

/**
 * Refuses what a page of another site could send from a browser on this machine, and what has no token.
 *
 * Bound to loopback, only loopback names are taken as `Host`: a name of the attacker's that was pointed at 127.0.0.1 (DNS
 * rebinding) is none. Elsewhere the names are not known, and the token, which such a page has not, is always asked for.
 *
 * @throws ApiError with status 400, 401 or 403
 */
export function checkAccess(
  { headers }: Pick<IncomingMessage, "headers">,
  { loopback, token }: { loopback: boolean; token?: string },
): void {
  const named = hostOf(headers.host);
  if (named === undefined)
    throw new ApiError({ status: 400, message: "The Host header is missing or no host." });
  if (loopback && !isLoopback(named.hostname)) {
    throw new ApiError({
      status: 403,
      message: `The Host header names ${named.hostname}, but this server answers only as localhost, 127.0.0.1 or [::1].`,
      code: "host_not_allowed",
    });
  }
  const { origin, "sec-fetch-site": site } = headers;
  const foreign = origin !== undefined && origin !== `http://${headers.host}`;
  if (foreign || site === "cross-site" || site === "same-site") {
    throw new ApiError({
      status: 403,
      message: "Pages of other sites may not use this server.",
      code: "origin_not_allowed",
    });
  }
  if (token === undefined) return;
  const [, given] = /^Bearer +(\S+)\s*$/i.exec(headers.authorization ?? "") ?? [];
  // Of equal length whatever was given, and compared in constant time.
  if (given === undefined || !timingSafeEqual(hash(given), hash(token))) {
    throw new ApiError({
      status: 401,
      message: "This server wants its token: Authorization: Bearer TOKEN.",
      code: "invalid_api_key",
      headers: { "WWW-Authenticate": "Bearer" },
    });
  }
}

function hostOf(header: string | undefined): { hostname: string } | undefined {
  if (header === undefined || !/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.test(header)) return undefined;
  const hostname = header.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return { hostname: hostname.toLowerCase() };
}
