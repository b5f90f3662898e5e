import type { Fault } from '../fault.ts';
import { clockFaults } from './clocks.ts';
import { databaseBackFaults } from './database-back.ts';
import { fullServerFaults } from './full-servers.ts';
import { hubFaults } from './hub-crash.ts';
import { kafkaFaults } from './kafka.ts';
import { postgresFaults } from './postgres.ts';
import { powerLossFault } from './power-loss.ts';
import { spoolFaults } from './spool-damage.ts';

/** Faults that reach into a process, its disk, its clock or its data. */
export const deepFaults: readonly Fault[] = [
  powerLossFault,
  ...spoolFaults,
  ...clockFaults,
  ...hubFaults,
  ...postgresFaults,
  ...databaseBackFaults,
  ...fullServerFaults,
  ...kafkaFaults,
];
