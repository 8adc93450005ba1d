// The official SDK for Node, with a key that the gateway does not know: which error does its user get?
import OpenAI from 'openai';

try {
  await new OpenAI({ maxRetries: 0 }).chat.completions.create({ model: 'gpt-5', messages: [{ role: 'user', content: 'hello' }] });
} catch (error) {
  console.log(JSON.stringify({ name: error.constructor.name, status: error.status, code: error.code, type: error.type }));
}
