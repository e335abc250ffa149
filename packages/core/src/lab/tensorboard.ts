import protobuf from "protobufjs/minimal.js";

/*
 * TensorBoard's event files: TFRecord framing, each record an Event of tensorflow/core/util/event.proto.
 *   record  uint64 length | uint32 masked CRC of the length | data | uint32 masked CRC of the data   (little-endian)
 *   Event   double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5
 *   Summary repeated Value value = 1;   Value string tag = 1; float simple_value = 2
 */

/** Field number and wire type, as protobuf packs them. */
const tag = (field: number, wireType: 0 | 1 | 2 | 5) => (field << 3) | wireType;

/** The record with which every event file begins. */
export function fileVersionRecord(wallSeconds: number): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag(1, 1)).double(wallSeconds).uint32(tag(3, 2)).string("brain.Event:2");
  return frame(writer.finish());
}

/** A record of scalars of one step. */
export function scalarsRecord(
  wallSeconds: number,
  step: number,
  values: Readonly<Record<string, number>>,
): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag(1, 1)).double(wallSeconds).uint32(tag(2, 0)).int64(step).uint32(tag(5, 2)).fork();
  for (const [name, value] of Object.entries(values)) {
    writer.uint32(tag(1, 2)).fork();
    writer.uint32(tag(1, 2)).string(name).uint32(tag(2, 5)).float(value);
    writer.ldelim();
  }
  return frame(writer.ldelim().finish());
}

function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(12 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

/** TFRecord stores CRCs of data that may hold CRCs, so it turns and shifts them (tensorflow/core/lib/hash/crc32c.h). */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The polynomial of Castagnoli, bits reversed. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** CRC-32C; that of the bytes of "123456789" is 0xe3069283. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}
