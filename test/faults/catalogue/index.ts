import { brokerFaults } from './broker.ts';
import { databaseFaults } from './database.ts';
import type { Fault } from './fault.ts';
import { messageFaults } from './messages.ts';
import { processFaults } from './processes.ts';

export type { Fault } from './fault.ts';

export const faults: readonly Fault[] = [...processFaults, ...brokerFaults, ...databaseFaults, ...messageFaults];
