/** What a link does to the bytes that pass. `from` the client or the server: which direction. */
export type LinkMode =
  | { readonly kind: 'pass' }
  /** Connections end, and none is taken. */
  | { readonly kind: 'cut' }
  /** Nothing passes, no end either, and nobody is told; `both` ways or what comes from one side. */
  | { readonly kind: 'silent'; readonly from: 'client' | 'server' | 'both' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** So many bytes a second, each way. */
  | { readonly kind: 'trickle'; readonly bytesPerSecond: number }
  /** As TCP shows loss: a share of what is sent comes late by a retransmission, and rarely the connection breaks. */
  | { readonly kind: 'loss'; readonly share: number }
  /** The connection is reset in the middle of an answer. */
  | { readonly kind: 'reset'; readonly share: number }
  /** An answer is given twice, or an older answer to the same question in its place. HTTP only. */
  | { readonly kind: 'echo'; readonly share: number };
