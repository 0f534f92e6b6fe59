import { brokerFaults } from './catalogue/broker.ts';
import { proveEach } from './matrix.ts';

proveEach(brokerFaults);
