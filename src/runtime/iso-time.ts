const dayMs = 86_400_000;
const twoDigits = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, '0'));
const threeDigits = Array.from({ length: 1_000 }, (_, n) => String(n).padStart(3, '0'));

let day = Number.NaN;
let date = '';

/**
 * Formats a time like `Date.toISOString`, for years 0 to 9999. A conversation has some twenty times on the same day,
 * and the date is the expensive part: formatting it only once saves a tenth of an accept's own work
 * (docs/decisions/0013).
 *
 * @param ms  milliseconds since the epoch; fractions are cut off.
 */
export function isoTime(ms: number): string {
  const whole = Math.trunc(ms);
  const now = Math.floor(whole / dayMs);
  if (now !== day) {
    date = new Date(now * dayMs).toISOString().slice(0, 11);
    day = now;
  }
  const rest = whole - now * dayMs;
  const seconds = Math.floor(rest / 1_000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const clock = `${twoDigits[hours]}:${twoDigits[minutes % 60]}:${twoDigits[seconds % 60]}`;
  return `${date}${clock}.${threeDigits[rest % 1_000]}Z`;
}
