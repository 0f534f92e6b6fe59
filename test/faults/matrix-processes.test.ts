import { processFaults } from './catalogue/processes.ts';
import { proveEach } from './matrix.ts';

proveEach(processFaults);
