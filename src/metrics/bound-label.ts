/** Distinct values of one label that are kept; a scorer may invent codes. */
const most = 64;

/** @returns a function that keeps the first values it sees, and says `other` for all further ones. */
export function boundLabel(): (value: string) => string {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value)) return value;
    if (seen.size >= most) return 'other';
    seen.add(value);
    return value;
  };
}
