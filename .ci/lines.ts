import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// Lines of prose and code have at most 120 characters. Rows of Markdown tables may have more: they cannot be broken.
const most = 120;
const patterns = ['*.ts', '*.md', '*.sh', '*.yml', 'scripts', '.ci', 'Dockerfile', '.env.example'];
const files = execFileSync('git', ['ls-files', '--', ...patterns], { encoding: 'utf8' })
  .trim()
  .split('\n');
const long = files
  .filter((file) => !file.startsWith('bench/results/') && !file.startsWith('scripts/samples/'))
  .flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, i) => ([...line].length > most && !line.startsWith('|') ? [`${file}:${i + 1}`] : [])),
  );
for (const place of long) process.stdout.write(`${place} has more than ${most} characters\n`);
process.exitCode = long.length > 0 ? 1 : 0;
