"""The official SDK for Python in a session that the gateway ends. It would reconnect if the close code let it."""

import asyncio
import json

from openai import AsyncOpenAI, OpenAI
from websockets.exceptions import ConnectionClosed


class Told:
    def __init__(self):
        self.events, self.errors, self.reconnecting = [], [], 0

    def event(self, event):
        self.events.append(event.type)
        if event.type == "error":
            self.errors.append(event.error.to_dict())

    def reconnects(self, _event):
        self.reconnecting += 1

    def closed(self, closed):
        close = {"code": closed.rcvd.code, "reason": closed.rcvd.reason}
        return {**vars(self), "close": close}


async def asynchronous():
    told = Told()
    connecting = AsyncOpenAI().realtime.connect(model="gpt-realtime", on_reconnecting=told.reconnects)
    async with connecting as connection:
        try:
            async for event in connection:
                told.event(event)
                if event.type == "session.created":
                    await connection.response.create()
        except ConnectionClosed as closed:
            return told.closed(closed)


def synchronous():
    told = Told()
    with OpenAI().realtime.connect(model="gpt-realtime", on_reconnecting=told.reconnects) as connection:
        try:
            for event in connection:
                told.event(event)
                if event.type == "session.created":
                    connection.response.create()
        except ConnectionClosed as closed:
            return told.closed(closed)


print(json.dumps({"asynchronous": asyncio.run(asynchronous()), "synchronous": synchronous()}))
