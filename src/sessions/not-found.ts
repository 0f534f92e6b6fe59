import { Problem } from '../runtime/http/problem.ts';

export function notFound(): Problem {
  return new Problem(404, 'session_not_found', 'there is no session with this id');
}
