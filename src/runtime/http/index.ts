export { createApp, listen } from './app.ts';
export { bodyBudget, jsonBody } from './body.ts';
export { type FieldError, Problem } from './problem.ts';
