"""The official SDK for Python, as its documentation has it. What it was told goes with it. It reads OPENAI_API_KEY and OPENAI_BASE_URL."""

import asyncio
import json

from openai import AsyncOpenAI, OpenAI

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}


async def asynchronous():
    events, told, text = [], [], ""
    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
        async for event in connection:
            events.append(event.type)
            told.append(event.to_dict())
            if event.type == "session.created":
                await connection.conversation.item.create(item=ITEM)
                await connection.response.create()
            elif event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.done":
                return {"events": events, "text": text, "told": told}


def synchronous():
    events, told, text = [], [], ""
    with OpenAI().realtime.connect(model="gpt-realtime") as connection:
        for event in connection:
            events.append(event.type)
            told.append(event.to_dict())
            if event.type == "session.created":
                connection.conversation.item.create(item=ITEM)
                connection.response.create()
            elif event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.done":
                return {"events": events, "text": text, "told": told}


print(json.dumps({"asynchronous": asyncio.run(asynchronous()), "synchronous": synchronous()}))
