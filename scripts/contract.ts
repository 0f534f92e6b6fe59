import { writeFileSync } from 'node:fs';
import { createContract } from '../src/contract/document.ts';
import { everyOperation } from '../src/start/contract.ts';
import { version } from '../src/version.ts';

// Records the document of the API (`npm run contract`): a test compares it with the code, so that what clients rely on
// changes on purpose.
const text = `${JSON.stringify(createContract(await everyOperation(), version), null, 2)}\n`;
writeFileSync(new URL('../docs/openapi.json', import.meta.url), text);
