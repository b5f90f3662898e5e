import type { SealedBatch } from '../../shared/batch.ts';

/** How a batch gets to the hub. */
export interface Way {
  /** Resolves when it was taken; rejects with DeliveryError. */
  send(batch: SealedBatch, signal: AbortSignal): Promise<void>;
}

/** `away`: later it may work. `refused`: this very batch is not taken as things are; others may be. */
export class DeliveryError extends Error {
  readonly kind: 'away' | 'refused';
  readonly retryAfterMs: number | null;
  /** The hub itself says so of this batch: no setting in between can change that. */
  readonly isFinal: boolean;
  constructor(
    kind: DeliveryError['kind'],
    message: string,
    options: { retryAfterMs?: number | null; isFinal?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'DeliveryError';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isFinal = options.isFinal ?? false;
  }
}
