import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readLines } from "./json-lines.js";
import { type MetricsLine, openMetrics } from "./metrics.js";
import { crc32c, fileVersionRecord, scalarsRecord } from "./tensorboard.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-metrics-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const event = (step: number) => ({ stage: "test/train", step, values: { loss: 1 / step, accuracy: 0.5 } });

describe("metrics.jsonl", () => {
  test("has a line for every event as soon as it happens", () => {
    const log = openMetrics(folder, { now: () => 1500 });
    log.append(event(1));
    expect(readLines<MetricsLine>(join(folder, "metrics.jsonl"))).toEqual([{ time: 1.5, ...event(1) }]);
    log.append(event(2));
    expect(readLines<MetricsLine>(join(folder, "metrics.jsonl"))).toHaveLength(2);
    log.close();
    expect(readdirSync(folder)).toEqual(["metrics.jsonl"]);
  });

  test("of a killed process is gone on with after its last whole line", () => {
    const log = openMetrics(folder);
    log.append(event(1));
    log.close();
    appendFileSync(join(folder, "metrics.jsonl"), '{"time": 1, "sta');
    expect(readLines(join(folder, "metrics.jsonl"))).toHaveLength(1); // the half line is not read
    const next = openMetrics(folder);
    next.append(event(2));
    next.close();
    const lines = readLines<MetricsLine>(join(folder, "metrics.jsonl"));
    expect(lines.map((line) => line?.step)).toEqual([1, 2]);
  });
});

/** A bit at a time: slow, and unlike the table of the code. */
function slowCrc(data: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of data) {
    for (let bit = 0; bit < 8; bit++) {
      const carry = (register ^ (byte >> bit)) & 1;
      register >>>= 1;
      if (carry) register = (register ^ 0x82f63b78) >>> 0;
    }
  }
  return ~register >>> 0;
}
const unmask = (masked: number) => {
  const turned = (masked - 0xa282ead8) >>> 0;
  return ((turned >>> 17) | (turned << 15)) >>> 0;
};

/** Records of a file by the description of the format, without the code that wrote it. */
function readRecords(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(data).toHaveLength(length);
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(slowCrc(data));
    records.push(data);
    at += 12 + length + 4;
  }
  return records;
}

/** Fields of a protobuf message: numbers, or the bytes of texts and messages. */
function readFields(bytes: Buffer): [field: number, value: number | Buffer][] {
  const fields: [number, number | Buffer][] = [];
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const field = key >> 3;
    if ((key & 7) === 0) fields.push([field, varint()]);
    else if ((key & 7) === 1) fields.push([field, take(8).readDoubleLE()]);
    else if ((key & 7) === 5) fields.push([field, take(4).readFloatLE()]);
    else fields.push([field, take(varint())]);
  }
  return fields;
}

const bytesOf = (value: number | Buffer) => value as Buffer;

describe("TensorBoard's event file", () => {
  test("is read back by the format's description, every CRC right", () => {
    const log = openMetrics(folder, { tensorboard: true, now: () => 1_700_000_000_250 });
    for (const step of [1, 300, 5_000_000_000]) log.append(event(step));
    log.close();
    const name = readdirSync(folder).find((file) =>
      file.startsWith("events.out.tfevents.1700000000."),
    ) as string;
    const [version, ...records] = readRecords(readFileSync(join(folder, name))).map(readFields);
    expect(version).toEqual([
      [1, 1_700_000_000.25],
      [3, Buffer.from("brain.Event:2")],
    ]);
    expect(
      records.map(([[, time], [, step], [field, summary]]) => {
        expect(field).toBe(5);
        const values = readFields(bytesOf(summary)).map(([, value]) => {
          const [[, tag], [, scalar]] = readFields(bytesOf(value));
          return [bytesOf(tag).toString(), scalar];
        });
        return { time, step, values };
      }),
    ).toEqual(
      [1, 300, 5_000_000_000].map((step) => ({
        time: 1_700_000_000.25,
        step,
        values: [
          ["test/train/loss", Math.fround(1 / step)],
          ["test/train/accuracy", 0.5],
        ],
      })),
    );
  });

  test("CRC-32C has the published value, and that of a slow one for any bytes", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(crc32c(bytes)).toBe(slowCrc(bytes));
      }),
    );
  });

  test("any byte that is altered is found by a CRC or the length", () => {
    const whole = Buffer.concat([fileVersionRecord(1), scalarsRecord(2, 3, { loss: 4 })]);
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 16;
      expect(() => readRecords(bytes)).toThrow();
    }
  });
});
