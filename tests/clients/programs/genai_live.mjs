// Google's SDK for JavaScript, as its documentation has it. Its key goes into the query, where nothing else can be set.
import { GoogleGenAI, Modality } from '@google/genai';

const httpOptions = { baseUrl: process.env.BASE_URL, apiVersion: 'v1beta' };
const ai = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY, httpOptions });
const events = [];
let text = '';
const done = (fields) => console.log(JSON.stringify({ events, text, ...fields }));

const connecting = ai.live.connect({
  model: process.env.MODEL,
  config: { responseModalities: [Modality.TEXT] },
  callbacks: {
    onmessage(message) {
      events.push(...Object.keys(message));
      text += message.text ?? '';
      if (message.serverContent?.turnComplete) {
        connecting.then((session) => session.close());
        done({ code: 1000 });
      }
    },
    onerror: (error) => console.error(error.message),
    onclose: ({ code, reason }) => code > 4000 && done({ code, reason: reason.toString() }),
  },
});
const session = await connecting.catch((error) => console.error(error.message));
session?.sendClientContent({ turns: 'hello', turnComplete: true });
