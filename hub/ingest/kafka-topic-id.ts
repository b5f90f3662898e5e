import type { Kafka } from 'kafkajs';
import { askController, type WireReader, WireUnknown, wire } from './kafka-wire.ts';

/**
 * The id that the cluster gave the topic when it was made (KIP-516): another one under the same name is another topic.
 * 32 hex digits; null where the cluster knows no ids (before Kafka 2.8, and some that only speak like Kafka) or not the
 * topic.
 */
export async function readTopicId(kafka: Kafka, topic: string): Promise<string | null> {
  try {
    return await askController(kafka, {
      apiKey: 3,
      apiName: 'Metadata',
      apiVersion: 10,
      body: requestOf(topic),
      read: topicIdOf,
    });
  } catch (error) {
    if (error instanceof WireUnknown) return null;
    throw error;
  }
}

const noTags = Buffer.from([0]);
const noId = Buffer.alloc(16);

/** From version 9 on the request is of the "flexible" kind: its header ends with tags, and lengths are varints plus one. */
function requestOf(topic: string): Buffer {
  const name = Buffer.from(topic, 'utf8');
  const [dontMake, dontTellRights] = [wire.int8(0), Buffer.from([0, 0])];
  return Buffer.concat([
    noTags,
    varint(1 + 1),
    noId,
    varint(name.length + 1),
    name,
    noTags,
    dontMake,
    dontTellRights,
    noTags,
  ]);
}

function topicIdOf(reader: WireReader): string | null {
  passTags(reader);
  reader.int32();
  for (let brokers = readVarint(reader) - 1; brokers > 0; brokers -= 1) {
    reader.int32();
    passText(reader);
    reader.int32();
    passText(reader);
    passTags(reader);
  }
  passText(reader);
  reader.int32();
  if (readVarint(reader) - 1 < 1) return null;
  const error = reader.int16();
  passText(reader);
  const id = readBytes(reader, 16);
  return error !== 0 || id.equals(noId) ? null : id.toString('hex');
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  return Buffer.from([...bytes, left]);
}

function readVarint(reader: WireReader): number {
  for (let value = 0, shift = 0; ; shift += 7) {
    const byte = reader.int8();
    value |= (byte & 0x7f) << shift;
    if (byte >= 0 || shift > 28) return value;
  }
}

function readBytes(reader: WireReader, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => reader.int8() & 0xff));
}

function passText(reader: WireReader): void {
  readBytes(reader, Math.max(0, readVarint(reader) - 1));
}

function passTags(reader: WireReader): void {
  for (let tags = readVarint(reader); tags > 0; tags -= 1) {
    readVarint(reader);
    readBytes(reader, readVarint(reader));
  }
}
