const mebibyte = 1_024 * 1_024;

/** For people: bytes as whole MiB. */
export function toMib(bytes: number): number {
  return Math.round(bytes / mebibyte);
}
