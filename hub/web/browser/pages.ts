/** Every page loads this one script; each part looks for its own place and is content without it. */
import { countAges } from './ages.ts';
import { checkNow } from './check.ts';
import { filterAsWritten, signOut, switchTheme } from './controls.ts';
import { followLive } from './live.ts';
import { actOnProbes } from './probes.ts';
import { signIn } from './sign-in.ts';

switchTheme();
signOut();
filterAsWritten();
countAges();
followLive();
actOnProbes();
checkNow();
signIn();
