// An admin token for a demonstration, as `parallax up` makes one for itself: from the hub's own keys and database.
import { openDatabase } from '../../hub/store/database.ts';
import { createApiToken } from '../../hub/trust/api-tokens.ts';
import { readHubKeys } from '../../hub/trust/load-keys.ts';

const { DATABASE_URL: url = '', PARALLAX_KEYS: dir = '' } = process.env;
const db = openDatabase({ url, maxConnections: 1, applicationName: 'parallax-demo' });
try {
  const { token } = await createApiToken(db, await readHubKeys(dir), {
    name: 'demo',
    scopes: ['admin'],
    regions: null,
    expiresAt: null,
    createdBy: 'demo',
  });
  console.log(token);
} finally {
  await db.end();
}
