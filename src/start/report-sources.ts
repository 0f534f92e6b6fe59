import type { Config } from '../config.ts';
import type { ReadFrom } from '../replica/index.ts';
import { type createClosedWatch, type createReads, freshReads, type reportRouter } from '../report/index.ts';
import {
  exportEvents,
  findClosed,
  findEvents,
  findFriendship,
  findText,
  findTexts,
  listEvents,
  type Store,
} from '../store/index.ts';
import { mostBehindMs, type Replica } from './replica.ts';

type Router = Parameters<typeof reportRouter>[0];
type ReportSources = Pick<Parameters<typeof createReads>[0], 'findEvents' | 'findNewest'> & {
  readonly findClosed: Parameters<typeof createClosedWatch>[0];
} & Pick<Router, 'findFriendship' | 'findNewestFriendship' | 'hasReplica'> &
  Pick<Router, 'findText' | 'findTexts' | 'listEvents' | 'exportEvents'>;

/** Where reports come from: the replica while it is fresh, and the primary for what must be newer. */
export function reportSources(config: Config, primary: Store, replica: Replica | null): ReportSources {
  const deadlineMs = config.acceptDeadlineMs;
  const from: ReadFrom<Store> = replica === null ? (read) => read(primary) : replica.read;
  // A replica that says nothing leaves the primary half of the time.
  const within = (store: Store) => (store === primary ? deadlineMs : Math.ceil(deadlineMs / 2));
  const newest = {
    findEvents: (ids: readonly string[]) => findEvents(primary, ids, deadlineMs),
    findClosed: (ids: readonly string[]) => findClosed(primary, ids, deadlineMs),
    findFriendship: (...[userId, known]: Parameters<Router['findFriendship']>) =>
      findFriendship(primary, userId, known, deadlineMs),
  };
  const fresh =
    replica === null
      ? { ...newest, findNewest: newest.findEvents }
      : freshReads({
          primary: newest,
          replica: {
            findEvents: (ids) => from((store) => findEvents(store, ids, within(store))),
            findFriendship: (userId, known) => from((store) => findFriendship(store, userId, known, within(store))),
          },
          isFresh: () => replica.watch.isFresh,
          mostBehindMs: mostBehindMs(config),
        });
  return {
    ...fresh,
    findNewestFriendship: newest.findFriendship,
    async findText(eventId) {
      const found = await from((store) => findText(store, eventId, within(store)));
      return found === null && replica !== null ? findText(primary, eventId, deadlineMs) : found;
    },
    findTexts: (ids) => from((store) => findTexts(store, ids, within(store))),
    listEvents: (filter, limit) => from((store) => listEvents(store, filter, { limit, deadlineMs: within(store) })),
    exportEvents: (filter, limit) => from((store) => exportEvents(store, filter, { limit, deadlineMs: within(store) })),
    hasReplica: replica !== null,
  };
}
