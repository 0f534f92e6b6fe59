import { expect, vi } from 'vitest';
import type { BrokerHand } from './broker.ts';
import { call, conversation, postAll } from './client.ts';
import { type Member, runCommand } from './member.ts';
import type { Namespace } from './namespace.ts';

/** An operator's commands and checks. `fleet` is called each time, because tests start and stop its parts. */
export function onDuty(fleet: () => { readonly space: Namespace; readonly api: Member; readonly broker: BrokerHand }) {
  const patience = { timeout: 20_000, interval: 50 };
  const afterword = (...args: string[]) => runCommand(args, fleet().space.env);
  const status = async (id: string) => (await call(fleet().api.url, 'GET', `/v1/conversations/${id}`)).body;
  const becomes = (id: string, expected: string) =>
    vi.waitFor(async () => expect((await status(id)).status).toBe(expected), patience);
  const letters = (n: number) =>
    vi.waitFor(async () => expect(await fleet().broker.depth(fleet().space.deadQueue)).toBe(n), patience);
  return {
    afterword,
    status,
    becomes,
    /** Resolves when this many dead letters are there. */
    letters,
    async json(...args: string[]) {
      const { code, output } = await afterword(...args, '--json');
      return { code, body: JSON.parse(output) };
    },
    /**
     * Posts conversations that fail on their first run and succeed on the second; resolves with their ids when each has
     * its dead letter.
     */
    async failOnce(n: number, overrides: object = {}): Promise<string[]> {
      const bodies = Array.from({ length: n }, () =>
        conversation({ ...overrides, metadata: { act: 'refuse', times: 1 } }),
      );
      const before = await fleet().broker.depth(fleet().space.deadQueue);
      await postAll(fleet().api.url, bodies);
      for (const { conversation_id } of bodies) await becomes(conversation_id, 'FAILED');
      await letters(before + n);
      return bodies.map((body) => body.conversation_id);
    },
  };
}
