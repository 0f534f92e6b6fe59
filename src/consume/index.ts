export { createIntake, type Intake } from './intake.ts';
export { createLoader } from './load.ts';
