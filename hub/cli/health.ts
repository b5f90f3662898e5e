import { Command } from 'commander';
import { Agent, request } from 'undici';
import { type CliContext, Failed } from '../../shared/command-line.ts';
import { readListen } from '../read-config.ts';
import { originOf } from '../up/listen.ts';
import { readSettings } from './read-settings.ts';

const timeoutMs = 5000;

export function healthCommand({ env, terminal }: CliContext): Command {
  return new Command('health')
    .argument('[hub]', 'the hub: without it, a probe is looked at')
    .description('whether the hub of this machine lives: what a container asks')
    .addHelpText(
      'after',
      `
Asks /healthz where PARALLAX_LISTEN says, over TLS where PARALLAX_TLS_CERT is set. A hub whose database or Kafka is away
lives: /readyz tells that. Exit codes: 0 it lives, 1 it does not.`,
    )
    .action(async () => {
      const origin = originOf(readSettings(() => readListen(env)));
      const url = `${env.PARALLAX_TLS_CERT ? origin.replace(/^http:/, 'https:') : origin}/healthz`;
      // Itself, on its own machine: its certificate is for other names.
      const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
      try {
        const answer = await request(url, { dispatcher, signal: AbortSignal.timeout(timeoutMs) });
        if (answer.statusCode !== 200) throw new Error(`it answers ${answer.statusCode}`);
        terminal.out('alive\n');
      } catch (error) {
        throw new Failed(`no hub lives at ${url}: ${error instanceof Error ? error.message : error}`);
      } finally {
        await dispatcher.destroy();
      }
    });
}
