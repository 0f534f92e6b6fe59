/**
 * Merges the metrics of several processes into one text: every series gets the label `member`.
 *
 * @param members  by name, each in Prometheus' text format.
 */
export function mergeMetrics(members: ReadonlyMap<string, string>): string {
  const families = new Map<string, { readonly head: string[]; readonly series: string[] }>();
  for (const [member, text] of members) {
    let family = '';
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const declared = /^# (HELP|TYPE) (\S+)/.exec(line);
      if (declared) family = declared[2] ?? '';
      const found = families.get(family) ?? { head: [], series: [] };
      families.set(family, found);
      if (!declared) found.series.push(withMember(line, member));
      else if (!found.head.includes(line)) found.head.push(line);
    }
  }
  return [...families.values()].map(({ head, series }) => `${[...head, ...series].join('\n')}\n`).join('');
}

function withMember(line: string, member: string): string {
  const label = `member="${member}"`;
  const open = line.indexOf('{');
  const space = line.indexOf(' ');
  if (open < 0 || open > space) return `${line.slice(0, space)}{${label}}${line.slice(space)}`;
  return `${line.slice(0, open + 1)}${label},${line.slice(open + 1)}`;
}
