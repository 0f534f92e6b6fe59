import { messageFaults } from './catalogue/messages.ts';
import { proveEach } from './matrix.ts';

proveEach(messageFaults);
