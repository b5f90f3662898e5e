/** What of kafkajs 2.2.4's own decoder is used here: see kafka-decode.ts. */
declare module 'kafkajs/src/protocol/decoder.js' {
  class Decoder {
    constructor(buffer: Buffer);
    readonly buffer: Buffer;
    offset: number;
    readVarInt(): number;
    readVarIntArray<T>(read: (decoder: Decoder) => T): T[];
    slice(size: number): Decoder;
  }
  export default Decoder;
}
