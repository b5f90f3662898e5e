/**
 * The two messages of grpc.health.v1.Health/Check, by hand: a field of text to ask with, one number in the answer.
 * (Protocol Buffers, encoding: a tag is the field's number and its wire type.)
 */

/** HealthCheckRequest {string service = 1}, with gRPC's prefix: not compressed, and the length. */
export function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message =
    name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [128 | (value & 127), ...varint(value >>> 7)];
}

/** HealthCheckResponse {ServingStatus status = 1}: its number, or null where the bytes are no message. */
export function readHealth(message: Buffer): number | null {
  let status = 0;
  let at = 0;
  /** Numbers of more than 32 bits are none that an enum has: their upper bits are left out, as protobuf does. */
  const number = (): number | null => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at];
      if (byte === undefined) return null;
      at += 1;
      if (shift < 32) value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    return null;
  };
  while (at < message.length) {
    const tag = number();
    if (tag === null || tag >>> 3 === 0) return null;
    const kind = tag & 7;
    if (kind === 0) {
      const value = number();
      if (value === null) return null;
      if (tag >>> 3 === 1) status = value;
      continue;
    }
    // Fields of a later version, or of whoever adds some.
    const length = kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? number() : null;
    if (length === null || length < 0 || length > message.length - at) return null;
    at += length;
  }
  return status;
}
