export { createApp, listen } from './app.ts';
export { type BodyBudget, createBodyBudget, jsonBody } from './body.ts';
export { fields, notUnicode, parseBody, parseQuery } from './fields.ts';
export { mount } from './mount.ts';
export { type FieldError, Problem } from './problem.ts';
export { sendJson } from './routes.ts';
export { httpUrl } from './url.ts';
