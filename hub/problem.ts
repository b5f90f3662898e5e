/** An error for the person who can act on it; served as an RFC 9457 problem document. */
export class Problem extends Error {
  readonly status: number;
  /** Stable, dotted: `enrollment.spent`, `endpoint.unknown_key`. */
  readonly code: string;
  /** More members of the document, such as `errors` with one entry a field. */
  readonly extra: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    detail: string,
    options: { extra?: Record<string, unknown>; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = 'Problem';
    this.status = status;
    this.code = code;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }
}
