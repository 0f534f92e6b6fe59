export { createInFlight } from './in-flight.ts';
export { createIntake, type Intake } from './intake.ts';
export { createLoader } from './load.ts';
export { createPauses } from './pauses.ts';
