// A service that only its own network can reach: healthy, until it is told to break with SIGUSR2.
import { createServer } from 'node:http';

const [host = '127.0.0.1', port = '8080'] = process.argv.slice(2);
let broken = false;
process.on('SIGUSR2', () => {
  broken = !broken;
});
createServer((_, response) => response.writeHead(broken ? 503 : 200).end(broken ? 'broken' : 'well')).listen(
  Number(port),
  host,
);
