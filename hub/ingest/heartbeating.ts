/** Kafka takes a member that is silent for its session timeout for dead; kafkajs itself sends at most one in 3 s. */
const everyMs = 1000;

/**
 * Long work with heartbeats beside it. Where one says that the group is being shared out anew, the work is aborted and,
 * when it has come to its end, that is what is thrown: the member has to join again.
 */
export async function heartbeating(
  heartbeat: () => Promise<void>,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const aborter = new AbortController();
  let failure: { readonly error: unknown } | null = null;
  const timer = setInterval(() => {
    heartbeat().catch((error: unknown) => {
      failure ??= { error };
      aborter.abort(error);
    });
  }, everyMs);
  try {
    await work(aborter.signal);
  } catch (error) {
    failure ??= { error };
  } finally {
    clearInterval(timer);
  }
  if (failure) throw failure.error;
}
