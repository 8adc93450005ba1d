// The official SDK for Node makes a WebRTC call with the offer in OFFER, or hangs up the call in CALL. It reads
// OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from 'openai';

const { calls } = new OpenAI().realtime;
const { OFFER: sdp, CALL: id } = process.env;

if (id === undefined) {
  const answer = await calls.create({ sdp, session: { type: 'realtime', model: 'gpt-realtime' } });
  const location = answer.headers.get('location');
  console.log(JSON.stringify({ status: answer.status, location, sdp: await answer.text() }));
} else {
  await calls.hangup(id);
  console.log(JSON.stringify({ ended: id }));
}
