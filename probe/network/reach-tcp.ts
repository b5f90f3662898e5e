import { connect } from 'node:net';
import type { Reached } from './judge-network.ts';

export interface TcpReached {
  readonly reached: Reached;
  /** This machine itself says that there is no way; else it was only waited for in vain. */
  readonly unreachable: boolean;
}

/** Opens a connection and closes it. Never rejects; settled within `timeoutMs`. */
export function reachTcp(address: string, port: number, timeoutMs: number): Promise<TcpReached> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, autoSelectFamily: false });
    const settle = (reached: Reached, unreachable = false) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ reached, unreachable });
    };
    const timer = setTimeout(settle, timeoutMs, 'silent');
    socket.once('connect', () => settle('answered'));
    // It stays for good: one that comes late must find a listener.
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ECONNRESET') settle('refused');
      else settle('silent', code !== 'ETIMEDOUT');
    });
  });
}
