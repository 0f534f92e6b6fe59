/** The floor for memory: a Node process with the same libraries loaded, and nothing done with them. */
await Promise.all([
  import('amqplib'),
  import('express'),
  import('mysql2'),
  import('pino'),
  import('piscina'),
  import('typeorm'),
  import('zod'),
]);
process.send?.({ ready: true });
setInterval(() => {}, 60_000);
process.once('SIGTERM', () => process.exit());
