// A whole probe in a process of its own, from the sources: what `parallax probe` runs.
import { run } from '../../probe/cli/main.ts';

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());
process.exitCode = await run(['probe', ...process.argv.slice(2)], {
  env: process.env,
  cwd: process.cwd(),
  terminal: {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    columns: null,
    colour: false,
  },
  signal: stopping.signal,
});
