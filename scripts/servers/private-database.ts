import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probes } from './probe.ts';
import { findProgram, freePort, type Leashed, startLeashed, untilAnswers } from './process.ts';
import { grants, type Rights, type Server } from './server.ts';

const run = promisify(execFile);

/** The path of mariadbd or mysqld, if one is installed. */
export function findDatabaseProgram(): Promise<string | null> {
  return findProgram('mariadbd').then((found) => found ?? findProgram('mysqld'));
}

/**
 * A private MariaDB or MySQL: its data in `folder`, on loopback only, on its own port, run by an ordinary user. The
 * port is stored with the data, so that a restart uses the same address if it is free.
 *
 * @param more  arguments for the server.
 */
export async function startPrivateDatabase(
  folder: string,
  password: string,
  rights: Rights,
  more: readonly string[] = [],
): Promise<Server> {
  const program = await findDatabaseProgram();
  if (program === null) throw new Error('neither mariadbd nor mysqld is installed');
  const data = join(folder, 'data');
  const logPath = join(folder, 'server.log');
  const portPath = join(folder, 'port');
  // A server that starts removes all temporary tables from its temporary folder, even those of another server that is
  // just being set up.
  const env = { ...process.env, TMPDIR: join(folder, 'tmp') };
  await mkdir(env.TMPDIR, { recursive: true });
  if (
    !(await access(join(data, 'mysql')).then(
      () => true,
      () => false,
    ))
  )
    await initialise(program, data, env);
  const port = await freePort(Number(await readFile(portPath, 'utf8').catch(() => '0')));
  await writeFile(portPath, String(port));
  const init = join(folder, 'init.sql');
  const statements = [
    'CREATE DATABASE IF NOT EXISTS afterword',
    "CREATE USER IF NOT EXISTS 'afterword'@'%'",
    `ALTER USER 'afterword'@'%' IDENTIFIED BY '${password}'`,
    ...grants(rights),
    // The set-up creates some users without a password.
    `ALTER USER 'root'@'localhost' IDENTIFIED BY '${password}'`,
    "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1', ''@'localhost'",
  ];
  await writeFile(init, statements.map((statement) => `${statement};\n`).join(''), { mode: 0o600 });
  const url = `mysql://afterword:${password}@127.0.0.1:${port}/afterword`;
  let server: Leashed;

  async function start(): Promise<void> {
    server = startLeashed(
      program as string,
      [
        '--no-defaults',
        `--user=${userInfo().username}`,
        `--datadir=${data}`,
        // The path of a socket is limited to about 100 bytes, which a deep folder exceeds.
        `--socket=${join(tmpdir(), `afterword-${port}.sock`)}`,
        `--pid-file=${join(folder, 'pid')}`,
        '--bind-address=127.0.0.1',
        `--port=${port}`,
        `--init-file=${init}`,
        '--skip-name-resolve',
        '--innodb-flush-log-at-trx-commit=1',
        '--innodb-buffer-pool-size=512M',
        '--innodb-log-file-size=256M',
        ...(program?.endsWith('mysqld') ? ['--mysqlx=OFF'] : []),
        ...more,
      ],
      { env, logFd: openSync(logPath, 'a') },
    );
    await untilAnswers(() => probes.database(url), { what: 'the private database', withinMs: 60_000, server, logPath });
  }

  await start();
  return { url, start, stop: () => server.terminate(), kill: () => server.kill(), dispose: () => server.terminate() };
}

async function initialise(program: string, data: string, env: NodeJS.ProcessEnv): Promise<void> {
  const user = `--user=${userInfo().username}`;
  if (program.endsWith('mysqld')) {
    await run(program, ['--no-defaults', user, `--datadir=${data}`, '--initialize-insecure'], { env });
    return;
  }
  const install = (await findProgram('mariadb-install-db')) ?? 'mariadb-install-db';
  await run(
    install,
    ['--no-defaults', user, `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
    { env },
  );
}
