import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Which kind of servers has the data of a checkout. */
export type Taken = 'docker' | 'private';

/** The file that says which kind it is. */
export const noteOf = (folder: string) => join(folder, 'servers');

/** @returns null if no server was started for this checkout before. */
export async function readTaken(folder: string): Promise<Taken | null> {
  const text = (await readFile(noteOf(folder), 'utf8').catch(() => '')).trim();
  if (text === 'docker' || text === 'private') return text;
  // A start that was cut off may have left no note.
  return access(join(folder, 'database', 'data')).then(
    () => 'private',
    () => null,
  );
}

export async function writeTaken(folder: string, taken: Taken): Promise<void> {
  await writeFile(noteOf(folder), `${taken}\n`);
}

/**
 * Why Docker is not taken; null if it is. Where data of an earlier start are, that kind is taken again: another one
 * would begin with nothing, and what was accepted yesterday would look as if it had never been.
 *
 * @param wish  what `AFTERWORD_SERVERS` says. @param kept  what has the data. @param note  see `noteOf`.
 * @throws {Error} that says how to get at the data, and how to begin again without them.
 */
export async function whyNotDocker(
  wish: Taken | null,
  kept: Taken | null,
  note: string,
  findObstacle: () => Promise<string | null>,
): Promise<string | null> {
  if (wish !== null && kept !== null && wish !== kept) {
    throw new Error(
      `AFTERWORD_SERVERS=${wish}, but the data of this checkout are in ${places[kept]}.\n${startOver(wish, note)}`,
    );
  }
  if (wish === 'private') return 'AFTERWORD_SERVERS=private';
  if (kept === 'private') return 'as before: it has the data of this checkout';
  const obstacle = await findObstacle();
  if (obstacle === null) return null;
  if (wish === 'docker') throw new Error(`AFTERWORD_SERVERS=docker, but: ${obstacle}`);
  if (kept === 'docker') {
    throw new Error(
      `the data of this checkout are in ${places.docker}, but: ${obstacle}.\nStart Docker. ${startOver('private', note)}`,
    );
  }
  return obstacle;
}

function startOver(kind: Taken, note: string): string {
  return `To start over with nothing in ${places[kind]}: echo ${kind} > '${note}'; the old data stay where they are.`;
}

const places = { docker: 'Docker volumes', private: 'private instances' } as const satisfies Record<Taken, string>;
