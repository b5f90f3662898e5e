/**
 * Protocols that change to TLS within a connection, with the port each one has to itself: SMTP (RFC 3207), IMAP and
 * POP3 (RFC 2595), FTP (RFC 4217), PostgreSQL and MySQL by their own handshakes, LDAP (RFC 4511, section 4.14), XMPP
 * (RFC 6120, section 5).
 */
export const starttlsPorts = {
  smtp: 25,
  imap: 143,
  pop3: 110,
  ftp: 21,
  postgres: 5432,
  mysql: 3306,
  ldap: 389,
  xmpp: 5222,
} as const;

export type Starttls = keyof typeof starttlsPorts;
export const starttlsNames = Object.keys(starttlsPorts) as Starttls[];
