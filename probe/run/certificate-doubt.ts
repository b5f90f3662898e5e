import type { HubClock } from '../clock/hub-clock.ts';
import type { MeasuredChecker } from './measured.ts';

/** Certificates are made to be valid for days: a clock that is less off than this is right about them. */
const rightUs = 60_000_000;

/**
 * Whether a certificate is valid now OpenSSL asks this machine's clock alone. Where that is wrong, and hub time says
 * otherwise of a certificate called expired, nobody knows what the target would have been: such a result is suspect.
 * What `certDays` asks for is judged by hub time already.
 */
export function doubtCertificates(
  checker: MeasuredChecker,
  clock: Pick<HubClock, 'nowUs' | 'offsetUs'>,
): MeasuredChecker {
  return {
    ...checker,
    async check(assignment, signal, wish) {
      const measured = await checker.check(assignment, signal, wish);
      const { failure, tls } = measured.observation;
      if (failure?.code !== 'tls.expired' || Math.abs(clock.offsetUs()) <= rightUs) return measured;
      const isValid = tls === null || tls.notAfter * 1_000_000 > clock.nowUs();
      return isValid ? { ...measured, disturbed: true } : measured;
    },
  };
}
