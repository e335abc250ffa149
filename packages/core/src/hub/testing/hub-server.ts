import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const gitHash = (bytes: Buffer) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

export interface HubServer {
  url: string;
  /** Method and path of each request so far. */
  requests: string[];
  /** Bytes of content that were sent. */
  sent: () => number;
  /** What happens to requests for the content of a file, by its path; each entry is used once. */
  faults: { path: string; fault: "cut" | "wrong" | "unavailable" | "too long"; after?: number }[];
  close(): Promise<void>;
}

/** A hub over HTTP with the endpoints that are needed: large files are redirected to another host name, and ranges are answered. */
export async function startHub(
  models: Record<string, { sha: string; token?: string; files: Record<string, Buffer> }>,
): Promise<HubServer> {
  const requests: string[] = [];
  const faults: HubServer["faults"] = [];
  let sent = 0;
  const isLarge = (path: string) => path.endsWith(".safetensors");

  const content = (path: string, bytes: Buffer, request: IncomingMessage, response: ServerResponse) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const [from, to] = range
      ? [Number(range[1]), Math.min(bytes.length, Number(range[2] || bytes.length) + 1)]
      : [0, bytes.length];
    const isProbe = range?.[0] === "bytes=0-0";
    const at = isProbe ? -1 : faults.findIndex((fault) => fault.path === path);
    const fault = at < 0 ? undefined : faults.splice(at, 1)[0];
    if (fault?.fault === "unavailable") return void response.writeHead(503).end();
    const part = Buffer.from(bytes.subarray(from, to));
    if (fault?.fault === "wrong") part[part.length >> 1] ^= 1;
    const body = fault?.fault === "too long" ? Buffer.concat([part, Buffer.alloc(100)]) : part;
    response.writeHead(range ? 206 : 200, {
      ETag: `"${isLarge(path) ? sha256(bytes) : gitHash(bytes)}"`,
      "Content-Length": body.length,
      ...(range ? { "Content-Range": `bytes ${from}-${to - 1}/${bytes.length}` } : {}),
    });
    if (fault?.fault === "cut") {
      const cut = body.subarray(0, fault.after ?? body.length >> 1);
      sent += cut.length;
      return void response.write(cut, () => setTimeout(() => response.destroy(), 20));
    }
    if (!isProbe) sent += body.length;
    response.end(body);
  };

  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://hub");
    const isCdn = pathname.startsWith("/cdn/");
    const parts = pathname
      .replace(/^\/cdn/, "")
      .slice(1)
      .split("/");
    requests.push(`${request.method} ${pathname}`);
    const json = (value: unknown) =>
      response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    const refuse = (status: number, code: string) =>
      response
        .writeHead(status, { "X-Error-Code": code, "Content-Type": "application/json" })
        .end('{"error":"no"}');
    if (pathname === "/api/models") {
      const owner = `${searchParams.get("author")}/`;
      return json(
        Object.keys(models)
          .filter((name) => name.startsWith(owner))
          .map((id) => ({ id, _id: id })),
      );
    }
    const isApi = parts[0] === "api";
    const name = (isApi ? parts.slice(2, 4) : parts.slice(0, 2)).join("/");
    const model = models[name];
    if (model === undefined) return refuse(404, "RepoNotFound");
    if (isCdn && request.headers.authorization !== undefined) return refuse(400, "TokenGivenAway");
    if (!isCdn && model.token && request.headers.authorization !== `Bearer ${model.token}`)
      return refuse(401, "GatedRepo");
    const revision = isApi ? parts[5] : parts[3];
    if (!["main", model.sha].includes(revision)) return refuse(404, "RevisionNotFound");
    if (isApi && parts[4] === "revision") return json({ id: name, _id: name, sha: model.sha });
    if (isApi && parts[4] === "tree") {
      return json(
        Object.entries(model.files).map(([path, bytes]) => ({
          type: "file",
          path,
          size: bytes.length,
          oid: gitHash(bytes),
          ...(isLarge(path) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } } : {}),
        })),
      );
    }
    const path = parts.slice(4).join("/");
    const bytes = model.files[path];
    if (bytes === undefined) return refuse(404, "EntryNotFound");
    if (isLarge(path) && !isCdn) {
      const { port } = server.address() as AddressInfo;
      return response
        .writeHead(302, {
          Location: `http://localhost:${port}/cdn/${name}/resolve/${model.sha}/${path}`.replace(
            "/cdn/",
            "/cdn/",
          ),
          "X-Linked-Size": bytes.length,
          "X-Linked-ETag": `"${sha256(bytes)}"`,
        })
        .end();
    }
    return content(path, bytes, request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sent: () => sent,
    faults,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
