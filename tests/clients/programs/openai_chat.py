"""The official SDK for Python: a chat completion, plain and streaming. It reads OPENAI_API_KEY and OPENAI_BASE_URL."""

import json

from openai import OpenAI

client = OpenAI()
request = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}

completion = client.chat.completions.create(**request)
chunks = [
    (chunk.choices[0].delta.content or "") if chunk.choices else ""
    for chunk in client.chat.completions.create(**request, stream=True)
]
print(json.dumps({
    "plain": completion.choices[0].message.content,
    "streamed": "".join(chunks),
    "chunks": len(chunks),
}))
