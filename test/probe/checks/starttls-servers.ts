import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../hub/process/port.ts';
import { type RealServer, realServer, serverCommand, serverMissing } from '../../harness/real-server.ts';

/** A folder of its own, with `cert.pem` and `key.pem` in it. */
type Start = (folder: string) => Promise<RealServer>;

/** Real servers of the protocols that change to TLS, each with a config of its own; null where this machine has none. */
export const starttlsServers = {
  dovecot: () => byCommand('dovecot', 'dovecot-imapd dovecot-pop3d', startDovecot),
  postfix: () => (isRoot() ? byCommand('postfix', 'postfix', startPostfix) : onlyRoot('postfix')),
  vsftpd: () => byCommand('vsftpd', 'vsftpd', startVsftpd),
  slapd: () => byCommand('slapd', 'slapd', startSlapd),
  prosody: () => byCommand('prosody', 'prosody', startProsody),
  mariadb: () => byCommand('mariadbd', 'mariadb-server-core', startMariadb),
} as const;

function byCommand(name: string, debianPackage: string, start: (command: string) => Start): Start | null {
  const command = serverCommand(name, debianPackage);
  return command === null ? null : start(command);
}

const isRoot = () => process.getuid?.() === 0;

/** It changes between users of its own: nobody else can start it. */
function onlyRoot(name: string): null {
  if (process.env.REQUIRE_SERVERS === '1' && isRoot()) return serverMissing(name, name);
  console.warn(`\n# SKIPPED: tests on ${name}, which only root can start\n`);
  return null;
}

const startDovecot =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    // Its processes without privileges have users of their own, where root starts them.
    const { username } = userInfo();
    const own = isRoot() ? '' : `default_login_user = ${username}\ndefault_internal_user = ${username}\n`;
    const file = join(folder, 'dovecot.conf');
    writeFileSync(
      file,
      `${own}protocols = imap pop3
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = /dev/stderr
listen = 127.0.0.1
ssl = yes
ssl_cert = <${folder}/cert.pem
ssl_key = <${folder}/key.pem
mail_location = maildir:${folder}/mail
passdb {
  driver = static
  args = password=open-sesame
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${folder}/mail
}
service imap-login {
  chroot =
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = ${await freePort()}
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = ${await freePort()}
  }
  inet_listener pop3s {
    port = 0
  }
}
`,
    );
    return realServer({ command, args: ['-F', '-c', file], port });
  };

/** The other ports of a dovecot, from its config. */
export function dovecotPorts(config: string): { readonly imaps: number; readonly pop3: number } {
  const portOf = (name: string) =>
    Number(new RegExp(`inet_listener ${name} \\{\\s+port = (\\d+)`).exec(config)?.[1]);
  return { imaps: portOf('imaps'), pop3: portOf('pop3') };
}

const startPostfix =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    for (const name of ['etc', 'queue', 'data']) mkdirSync(join(folder, name));
    const { uid } = postfixUser();
    chownSync(join(folder, 'data'), uid, -1);
    writeFileSync(
      join(folder, 'etc/main.cf'),
      `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
smtpd_tls_cert_file = ${folder}/cert.pem
smtpd_tls_key_file = ${folder}/key.pem
smtpd_tls_security_level = may
smtpd_tls_session_cache_database =
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
`,
    );
    writeFileSync(
      join(folder, 'etc/master.cf'),
      `127.0.0.1:${port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
anvil unix - - n - 1 anvil
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
cleanup unix n - n - 0 cleanup
`,
    );
    const own = ['-c', join(folder, 'etc')];
    // Makes the folders of its queue. Its `start` leaves the master behind when it is ended itself.
    execFileSync(command, [...own, 'check'], { stdio: 'pipe' });
    return realServer({ command: '/usr/lib/postfix/sbin/master', args: [...own, '-d'], port });
  };

function postfixUser(): { readonly uid: number } {
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  const fields = users.find((line) => line.startsWith('postfix:'))?.split(':') ?? [];
  return { uid: Number(fields[2]) };
}

const startVsftpd =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    chmodSync(empty, 0o555);
    const file = join(folder, 'vsftpd.conf');
    writeFileSync(
      file,
      `listen=YES
listen_address=127.0.0.1
listen_port=${port}
background=NO
anonymous_enable=YES
ssl_enable=YES
allow_anon_ssl=YES
ssl_ciphers=HIGH
rsa_cert_file=${folder}/cert.pem
rsa_private_key_file=${folder}/key.pem
secure_chroot_dir=${empty}
seccomp_sandbox=NO
${isRoot() ? '' : 'run_as_launching_user=YES\n'}`,
    );
    return realServer({ command, args: [file], port });
  };

const startSlapd =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    const file = join(folder, 'slapd.conf');
    writeFileSync(
      file,
      `pidfile ${folder}/slapd.pid
TLSCertificateFile ${folder}/cert.pem
TLSCertificateKeyFile ${folder}/key.pem
`,
    );
    return realServer({ command, args: ['-h', `ldap://127.0.0.1:${port}`, '-f', file, '-d', '0'], port });
  };

const startProsody =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    const file = join(folder, 'prosody.cfg.lua');
    writeFileSync(
      file,
      `run_as_root = true
daemonize = false
pidfile = "${folder}/prosody.pid"
data_path = "${folder}"
log = { { levels = { min = "info" }, to = "console" } }
interfaces = { "127.0.0.1" }
c2s_ports = { ${port} }
modules_enabled = { "tls", "saslauth" }
modules_disabled = { "s2s", "c2s_direct_tls" }
c2s_require_encryption = true
ssl = { key = "${folder}/key.pem", certificate = "${folder}/cert.pem" }
VirtualHost "localhost"
`,
    );
    return realServer({ command, args: ['--config', file, '-F'], port });
  };

const startMariadb =
  (command: string): Start =>
  async (folder) => {
    const port = await freePort();
    const data = join(folder, 'data');
    mkdirSync(data);
    const args = [
      '--no-defaults',
      `--datadir=${data}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--socket=${folder}/sock`,
      `--ssl-cert=${folder}/cert.pem`,
      `--ssl-key=${folder}/key.pem`,
      '--skip-grant-tables',
      '--innodb-buffer-pool-size=8M',
      ...(isRoot() ? ['--user=root'] : []),
    ];
    return realServer({ command, args, port });
  };
