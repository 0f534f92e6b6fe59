import type { QueryRunner } from 'typeorm';

/**
 * Ids compare byte by byte, trailing blanks included: `user_a`, `USER_A` and `user_a ` are three users.
 * The collation that does this has a different name on each server; `utf8mb4_bin` pads with blanks on both.
 */
export async function idCollation(runner: QueryRunner): Promise<string> {
  const [row] = (await runner.query('SELECT VERSION() AS version')) as { version: string }[];
  return /mariadb/i.test(row?.version ?? '') ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
}
