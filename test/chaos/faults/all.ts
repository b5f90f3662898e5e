import type { Fault } from '../fault.ts';
import { deepFaults } from './deep.ts';
import { linkFaults, replicasApart } from './links.ts';
import {
  killFaults,
  liarFault,
  restartFaults,
  revokedFault,
  stopFaults,
  twoOnOneFolder,
} from './processes.ts';

/** Every way this machine knows to break a network: adding one is one line here. */
export const allFaults: readonly Fault[] = [
  ...killFaults,
  ...stopFaults,
  ...restartFaults,
  ...linkFaults,
  replicasApart,
  twoOnOneFolder,
  revokedFault,
  liarFault,
  ...deepFaults,
];

/** By its name; throws with the names there are. */
export function faultNamed(name: string): Fault {
  const found = allFaults.find((fault) => fault.name === name);
  if (found) return found;
  throw new Error(`there is no fault '${name}': ${allFaults.map((fault) => fault.name).join(', ')}`);
}

export function conflict(one: Fault, other: Fault): boolean {
  const names = (fault: Fault) => fault.conflicts ?? [];
  const hits = (pattern: string, fault: Fault) =>
    pattern.endsWith('.*') ? fault.area === pattern.slice(0, -2) : pattern === fault.name;
  return (
    one.name === other.name ||
    names(one).some((pattern) => hits(pattern, other)) ||
    names(other).some((pattern) => hits(pattern, one))
  );
}
