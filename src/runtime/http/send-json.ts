import type { Response } from 'express';

/** With a newline at its end: the next prompt of a shell begins on a line of its own. */
export function sendJson(response: Response, status: number, body: object): void {
  response
    .status(status)
    .type('application/json')
    .send(`${JSON.stringify(body)}\n`);
}
