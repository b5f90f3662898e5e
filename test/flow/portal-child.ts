// A captive portal: whatever is asked of it over plain http leads to its own page.
import { createServer } from 'node:http';

const [login = ''] = process.argv.slice(2);
const server = createServer((request, response) => {
  if (request.url === '/login') response.end('<h1>Welcome. Please sign in.</h1>');
  else response.writeHead(302, { location: `${login}/login` }).end();
});
server.listen(80, '0.0.0.0', () => console.log('open'));
