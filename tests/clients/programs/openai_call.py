"""The official SDK for Python makes a WebRTC call with the offer in OFFER. It reads OPENAI_API_KEY and OPENAI_BASE_URL."""

import json
import os

from openai import OpenAI

answer = OpenAI().realtime.calls.create(
    sdp=os.environ["OFFER"], session={"type": "realtime", "model": "gpt-realtime"}
)
print(json.dumps({
    "status": answer.response.status_code,
    "location": answer.response.headers["location"],
    "sdp": answer.text,
}))
