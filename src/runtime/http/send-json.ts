import type { Response } from 'express';

/** Ends the body with a newline, so that a shell prompt after it starts on a new line. */
export function sendJson(response: Response, status: number, body: object): void {
  response
    .status(status)
    .type('application/json')
    .send(`${JSON.stringify(body)}\n`);
}
