// The official SDK for Node: a chat completion, plain and streaming. It reads OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from 'openai';

const client = new OpenAI();
const request = { model: 'gpt-5', messages: [{ role: 'user', content: 'hello' }] };

const completion = await client.chat.completions.create(request);
const chunks = [];
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  chunks.push(chunk.choices[0]?.delta?.content ?? '');
}
console.log(JSON.stringify({ plain: completion.choices[0].message.content, streamed: chunks.join(''), chunks: chunks.length }));
