// The official SDK for Node on a backend: a client secret for one user, with what the gateway should know of it in the
// JSON of GATEWAY. The SDK itself reads OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from 'openai';

const secret = await new OpenAI().realtime.clientSecrets.create({
  session: { type: 'realtime', model: 'gpt-realtime' },
  gateway: JSON.parse(process.env.GATEWAY),
});
console.log(JSON.stringify(secret));
