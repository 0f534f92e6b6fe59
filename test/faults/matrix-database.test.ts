import { databaseFaults } from './catalogue/database.ts';
import { proveEach } from './matrix.ts';

proveEach(databaseFaults);
