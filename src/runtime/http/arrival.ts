import type { Request, Response } from 'express';
import { Problem, sendProblem } from './problem.ts';

/** The whole of a body has to arrive within this time, so that slow clients cannot pile up. */
const arrivalMs = 30_000;
/** In a body that may take longer, something has to be read within this time. */
const silenceMs = 60_000;

const timers = new WeakMap<Request, NodeJS.Timeout>();

/** Ends the request with a 408 if its body has not arrived in time. */
export function limitArrival(request: Request, response: Response): void {
  const { headers } = request;
  if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) return;
  const timer = setTimeout(() => endSlow(request, response), arrivalMs);
  timer.unref();
  timers.set(request, timer);
  const arrived = () => clearTimeout(timers.get(request));
  request.once('end', arrived);
  request.once('close', arrived);
}

/** Lets the body take as long as it likes, as long as something comes, or waits for us to take it. */
export function mayTakeLong(request: Request): void {
  clearTimeout(timers.get(request));
  request.setTimeout(silenceMs, () => request.destroy());
}

function endSlow(request: Request, response: Response): void {
  // It has arrived, and nobody has read it.
  if (request.complete) return;
  if (response.headersSent) return void request.destroy();
  response.setHeader('Connection', 'close');
  response.once('finish', () => request.destroy());
  sendProblem(response, new Problem(408, 'too_slow', 'the request did not arrive in time'));
}
