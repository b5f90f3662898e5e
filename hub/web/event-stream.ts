/** One open answer of server-sent events. */
export interface EventStream {
  readonly body: ReadableStream<Uint8Array>;
  /** Queues an event: whoever sends asks keepsUp() first, or sends no more than once what it can hold. */
  send(event: string, data: unknown, id?: string): void;
  /** False while more than `maxWaiting` bytes wait for the client. */
  keepsUp(): boolean;
  end(): void;
}

export interface EventStreamOptions {
  /** Bytes. */
  readonly maxWaiting: number;
  /** The client went away. */
  readonly onLeave: () => void;
}

export function createEventStream({ maxWaiting, onLeave }: EventStreamOptions): EventStream {
  const encoder = new TextEncoder();
  let open = true;
  let writer: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        writer = controller;
        // The browser comes back by itself after so many milliseconds.
        controller.enqueue(encoder.encode('retry: 2000\n\n'));
      },
      cancel() {
        open = false;
        onLeave();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: maxWaiting }),
  );
  return {
    body,
    send(event, data, id) {
      if (!open) return;
      const text = `${id ? `id: ${id}\n` : ''}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
      writer?.enqueue(encoder.encode(text));
    },
    keepsUp: () => open && (writer?.desiredSize ?? 0) > 0,
    end() {
      if (!open) return;
      open = false;
      writer?.close();
    },
  };
}
