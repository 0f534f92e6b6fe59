const isoPattern = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)$/i;

/**
 * Parses an ISO 8601 date and time with a zone. Accepts the years 1000 to 9999, the range of `DATETIME`. Refuses days
 * that a month does not have; `Date` would roll them over.
 */
export function parseTime(text: string): Date | null {
  const match = isoPattern.exec(text);
  if (!match) return null;
  const [, year, month, day] = match.map(Number) as [number, number, number, number];
  if (year < 1000 || month < 1 || month > 12 || day < 1 || day > new Date(Date.UTC(year, month, 0)).getUTCDate())
    return null;
  // `Date` knows no leap seconds: one is read as the last ordinary second of its minute.
  const zoned = text
    .toUpperCase()
    .replace(/(T\d\d:59:)60/, (_, upTo: string) => `${upTo}59`)
    .replace(',', '.')
    .replace(/([+-]\d\d)$/, '$1:00')
    .replace(/([+-]\d\d)(\d\d)$/, '$1:$2');
  const time = new Date(zoned);
  const ms = time.getTime();
  return Number.isNaN(ms) || ms < earliest || ms > latest ? null : time;
}

const earliest = Date.UTC(1000, 0, 1);
const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
