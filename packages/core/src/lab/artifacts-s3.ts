import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { UserError } from "../errors.js";
import { type ArtifactStore, checkKey } from "./artifacts.js";
import { limitedTo } from "./limited.js";

/**
 * Artifacts in an S3-compatible store: `PREFIX/KEY/...`. Requests are signed with the credentials that the AWS tools
 * use: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role.
 */
export function s3Store(url: string): ArtifactStore {
  const { hostname: bucket, pathname, searchParams } = parseUrl(url);
  const prefix = pathname.replace(/^\/+|\/+$/g, "");
  const endpoint = searchParams.get("endpoint") ?? undefined;
  const client = new S3Client({
    region: searchParams.get("region") ?? process.env.AWS_REGION ?? "us-east-1",
    // Servers other than Amazon's rarely have a host name for each bucket, and not all know the newer checksums.
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 5,
  });
  const nameOf = (key: string, path: string) => [prefix, checkKey(key), path].filter(Boolean).join("/");
  return {
    url,
    async download(key, path, target, maxBytes) {
      const name = nameOf(key, path);
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: name }));
        await pipeline(Body as Readable, limitedTo(maxBytes, name), createWriteStream(target));
        return true;
      } catch (error) {
        if (error instanceof NoSuchKey) return false;
        throw explained(error, url);
      }
    },
    async publish(key, folder, paths) {
      for (const path of paths) {
        const file = join(folder, path);
        const request = { Bucket: bucket, Key: nameOf(key, path), ContentLength: (await stat(file)).size };
        await client
          .send(new PutObjectCommand({ ...request, Body: createReadStream(file) }))
          .catch((error) => {
            throw explained(error, url);
          });
      }
    },
  };
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === "s3:" && parsed.hostname !== "") return parsed;
  throw new UserError(`"${url}" is not the address of an S3 bucket`, {
    hint: "Expected s3://BUCKET/PREFIX, for servers other than Amazon's with ?endpoint=URL.",
  });
}

/** What a store refused, for people. */
function explained(error: unknown, url: string): unknown {
  if (!(error instanceof S3ServiceException) && (error as Error).name !== "CredentialsProviderError")
    return error;
  const { name, message } = error as Error;
  return new UserError(`the store ${url} refused a request: ${name}: ${message}`, {
    hint: "Check the bucket's name, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do.",
    exitCode: 1,
    cause: error,
  });
}
