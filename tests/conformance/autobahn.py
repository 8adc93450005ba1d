"""Runs the Autobahn cases, and prints what came of each as JSON: {id: [behavior, behavior at the close]}.

autobahn.py client URL: as a client of the server at URL.
autobahn.py server: as a server for a client that runs all cases; prints its port first.
"""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver

# What needs an extension, which a session that is followed has not.
COMPRESSED = ["12.*", "13.*"]


async def as_client(url):
    return await run_fuzzingclient(url, exclude_cases=COMPRESSED, concurrency=4)


async def as_server():
    async with run_fuzzingserver(exclude_cases=COMPRESSED, host="127.0.0.1", port=0) as server:
        print(f"port {server.port}", flush=True)
        return await server.get_result()


async def main(mode, *arguments):
    try:
        results = await {"client": as_client, "server": as_server}[mode](*arguments)
    except FailureError as failure:
        results = failure.results
    print(json.dumps({one.case_id: [one.behavior.value, one.behavior_close.value] for one in results}))


asyncio.run(main(*sys.argv[1:]))
