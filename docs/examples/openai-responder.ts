import type { Responder } from '../../src/sessions/responder.ts';

/**
 * Answers with any service that has OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp.
 *
 *   RESPONDER_MODULE=docs/examples/openai-responder.ts
 *   RESPONDER_URL=http://127.0.0.1:11434/v1   RESPONDER_MODEL=llama3.2   RESPONDER_KEY=… (if it wants one)
 *
 * Whatever goes wrong is thrown: the user's message is kept, the caller is told, and may ask again.
 */
const url = process.env['RESPONDER_URL'] ?? 'http://127.0.0.1:11434/v1';
const model = process.env['RESPONDER_MODEL'] ?? 'llama3.2';
const key = process.env['RESPONDER_KEY'];
const persona =
  process.env['RESPONDER_PROMPT'] ?? 'You are a friendly companion of a child. Answer in one or two short sentences.';

/** Far more than a sentence or two: an answer without end is cut off instead of filling the memory. */
const maxBytes = 262_144;

const responder: Responder = {
  name: 'openai',
  async reply({ history, message }, { signal }) {
    const turns = history.map(({ role, text }) => ({ role: role === 'user' ? 'user' : 'assistant', content: text }));
    const answer = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      signal,
      headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({
        model,
        max_tokens: 200,
        messages: [{ role: 'system', content: persona }, ...turns, { role: 'user', content: message }],
      }),
    });
    const text = await readText(answer);
    if (!answer.ok) throw new Error(`the model answered ${answer.status}`);
    const { choices } = JSON.parse(text) as { choices?: { message?: { content?: unknown } }[] };
    const content = choices?.[0]?.message?.content;
    if (typeof content !== 'string') throw new Error('the model answered without a text');
    return content;
  },
};
export default responder;

async function readText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`the model answered more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
