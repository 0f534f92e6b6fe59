import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The kind of servers that has the data of a checkout. */
type Taken = 'docker' | 'private';

/** The file that records the kind. */
export const noteOf = (folder: string) => join(folder, 'servers');

/** @returns null if no server has been started for this checkout. */
export async function readTaken(folder: string): Promise<Taken | null> {
  const text = (await readFile(noteOf(folder), 'utf8').catch(() => '')).trim();
  if (text === 'docker' || text === 'private') return text;
  // A start that was interrupted may have left no note.
  return access(join(folder, 'database', 'data')).then(
    () => 'private',
    () => null,
  );
}

export async function writeTaken(folder: string, taken: Taken): Promise<void> {
  await writeFile(noteOf(folder), `${taken}\n`);
}

/**
 * Why Docker is not used; null if it is. The kind that has the data of an earlier start is used again: another one
 * would start empty, and conversations accepted yesterday would seem to have vanished.
 *
 * @param wish  what `AFTERWORD_SERVERS` says. @param kept  the kind that has the data. @param note  see `noteOf`.
 * @throws {Error} that says how to get at the data, and how to start over without them.
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
      `the data of this checkout are in ${places.docker}, but: ${obstacle}.\nStart Docker. ` +
        `${startOver('private', note)}`,
    );
  }
  return obstacle;
}

function startOver(kind: Taken, note: string): string {
  return `To start over with nothing in ${places[kind]}: echo ${kind} > '${note}'; the old data stay where they are.`;
}

const places = { docker: 'Docker volumes', private: 'private instances' } as const satisfies Record<Taken, string>;
