import { hostname, userInfo } from 'node:os';

/** Who acts, for `afterword actions`. A container's user may have no name. */
export function operatorName(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${process.getuid?.() ?? '?'}@${hostname()}`;
  }
}
