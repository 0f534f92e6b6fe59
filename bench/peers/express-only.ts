/** The floor for accepting: Express 5 parses the body and answers 202 without storing it. */
import express from 'express';

const app = express();
app.use(express.json({ limit: '1mb' }));
app.post('/v1/conversations/end', (request, response) => {
  const { conversation_id } = request.body as { conversation_id: string };
  response.status(202).json({ status: 'accepted', conversation_id });
});
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ ready: true, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
});
process.once('SIGTERM', () => process.exit());
