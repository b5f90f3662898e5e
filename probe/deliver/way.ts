import type { SealedBatch } from '../../shared/batch.ts';

/** How a batch gets to the hub. */
export interface Way {
  /** Resolves when it was taken; rejects with DeliveryError. */
  send(batch: SealedBatch, signal: AbortSignal): Promise<void>;
}

/** `away`: later it may work. `refused`: this very batch will not be taken, however often it is sent. */
export class DeliveryError extends Error {
  readonly kind: 'away' | 'refused';
  readonly retryAfterMs: number | null;
  constructor(
    kind: DeliveryError['kind'],
    message: string,
    options: { retryAfterMs?: number | null; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'DeliveryError';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}
