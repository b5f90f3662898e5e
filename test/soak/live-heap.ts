/** What a Node process still holds once its garbage is gone. */
export interface LiveHeap {
  /** MB (10^6 bytes), of JavaScript and of buffers beside it. Collects the garbage of the process first. */
  liveMb(): Promise<number>;
  close(): void;
}

interface Answer {
  readonly id?: number;
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

/** For NODE_OPTIONS: the process tells on standard error where it can be asked. */
export const askable = '--inspect=127.0.0.1:0';

/**
 * Resident memory says little of a process that has room: V8 lets garbage lie for minutes (a hub whose live heap stood
 * at 92 MB for four minutes went from 255 to 335 MB meanwhile). So it is asked to collect, by the inspector's protocol.
 */
export async function openLiveHeap(said: string): Promise<LiveHeap> {
  // A process that began anew with its flags told twice.
  const url = said.match(/ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]+/g)?.at(-1);
  if (url === undefined) throw new Error('the process did not tell where its inspector listens');
  const socket = new WebSocket(url);
  const waiting = new Map<number, (answer: Answer) => void>();
  let lastId = 0;
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer);
  });
  await new Promise<void>((open, fail) => {
    socket.addEventListener('open', () => open(), { once: true });
    socket.addEventListener('error', () => fail(new Error(`${url} cannot be reached`)), { once: true });
  });
  const call = (method: string, params: object = {}): Promise<Answer> => {
    lastId += 1;
    const id = lastId;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} was not answered`)), 20_000);
      waiting.set(id, (answer) => {
        clearTimeout(late);
        waiting.delete(id);
        resolve(answer);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  };
  await call('HeapProfiler.enable');
  return {
    async liveMb() {
      await call('HeapProfiler.collectGarbage');
      const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
      const { result } = await call('Runtime.evaluate', { expression, returnByValue: true });
      return Number(result?.result?.value ?? Number.NaN) / 1e6;
    },
    close: () => socket.close(),
  };
}
