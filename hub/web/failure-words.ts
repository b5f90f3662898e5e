import { type FailureCode, isFailureCode } from '../../shared/failure.ts';

interface FailureWords {
  /** For a cell of the matrix: at most ten letters. */
  readonly word: string;
  /** After "ap-south and ap-east:". */
  readonly says: string;
}

const failureWords: Readonly<Record<FailureCode, FailureWords>> = {
  'dns.nxdomain': { word: 'no name', says: 'the name has no address' },
  'dns.servfail': { word: 'dns fails', says: 'the name server fails' },
  'dns.timeout': { word: 'dns slow', says: 'the name server does not answer in time' },
  'connect.refused': { word: 'refused', says: 'the connection is refused' },
  'connect.timeout': { word: 'timeout', says: 'no connection comes about in time' },
  'connect.unreachable': { word: 'no route', says: 'there is no route to it' },
  'connect.reset': { word: 'reset', says: 'the connection is reset as it opens' },
  'tls.handshake': { word: 'tls fails', says: 'the TLS handshake fails' },
  'tls.expired': { word: 'expired', says: 'the certificate has expired' },
  'tls.hostname': { word: 'wrong name', says: 'the certificate is for another name' },
  'tls.untrusted': { word: 'untrusted', says: 'the certificate is not trusted' },
  'tls.version': { word: 'old tls', says: 'no TLS version is shared' },
  'tls.client': { word: 'our cert', says: 'it wants another client certificate, or one at all' },
  'tls.timeout': { word: 'tls slow', says: 'the TLS handshake does not end in time' },
  'request.reset': { word: 'reset', says: 'the connection is reset before an answer' },
  'wait.timeout': { word: 'timeout', says: 'no first byte comes in time' },
  'body.timeout': { word: 'body slow', says: 'the body does not end in time' },
  'body.reset': { word: 'body cut', says: 'the body is cut off' },
  'body.too_large': { word: 'too large', says: 'the body is larger than allowed' },
  'body.encoding': { word: 'encoding', says: 'the body cannot be decoded' },
  'http.protocol': { word: 'not http', says: 'the answer breaks the rules of HTTP' },
  'http.redirects': { word: 'redirects', says: 'the redirects do not end' },
  'protocol.invalid': { word: 'protocol', says: 'what answers does not speak the protocol' },
  'protocol.refused': { word: 'no upgrade', says: 'it refuses to change to the protocol asked for' },
  'expect.status': { word: 'status', says: 'the status is not the expected one' },
  'expect.version': { word: 'version', says: 'the version of the protocol is not the expected one' },
  'expect.header': { word: 'header', says: 'a header is not as expected' },
  'expect.body': { word: 'body', says: 'the body is not as expected' },
  'expect.json': { word: 'json', says: 'the JSON is not as expected' },
  'expect.tls': { word: 'no tls', says: 'it is not served over TLS' },
  'expect.response': { word: 'response', says: 'what it sends is not as expected' },
  'expect.health': { word: 'unhealthy', says: 'it does not call itself healthy' },
  'expect.answer': { word: 'answer', says: 'the records are not the expected ones' },
  'expect.rcode': { word: 'rcode', says: 'the name server answers with another code than expected' },
  'expect.flags': { word: 'flags', says: 'the flags of the answer are not the expected ones' },
  'expect.ttl': { word: 'ttl', says: 'the records live for another time than expected' },
  'expect.serial': { word: 'serials', says: 'the name servers hold different versions of the zone' },
  'expect.loss': { word: 'loss', says: 'too many packets are lost' },
  'expect.jitter': { word: 'jitter', says: 'the round trips vary too much' },
  'expect.identity': { word: 'other cert', says: 'the certificate is not the expected one' },
  'expect.cert': { word: 'cert ends', says: 'the certificate ends soon' },
  'policy.blocked': { word: 'blocked', says: "the probe's own policy forbids this target" },
  'policy.robots': { word: 'robots', says: 'robots.txt asks not to' },
  'policy.retry_after': {
    word: 'told wait',
    says: 'the server asked to be left alone for a while (Retry-After)',
  },
  'probe.unable': { word: 'unable', says: 'the machine of the probe cannot do this check' },
  'probe.saturated': { word: 'saturated', says: 'the probe has no room for it' },
  'probe.overrun': { word: 'overrun', says: 'the check before still ran' },
  'probe.paused': { word: 'paused', says: 'the probe slept' },
  'probe.network': { word: 'probe net', says: "the probe's own network fails" },
  'probe.internal': { word: 'probe bug', says: 'the probe failed within' },
};

/** A newer probe may send a code this hub does not know yet: it is shown as it came. */
export function wordsOf(code: string, status: number | null): FailureWords {
  if (!isFailureCode(code)) return { word: code.split('.').at(-1)?.slice(0, 10) ?? code, says: 'it fails' };
  if (code === 'expect.status' && status !== null) {
    return { word: String(status), says: `the status is ${status}` };
  }
  return failureWords[code];
}
