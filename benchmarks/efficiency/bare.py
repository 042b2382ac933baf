"""Post a file of request bodies in order, and note when each was answered.

    python -m benchmarks.efficiency.bare URL BODIES.jsonl IN_FLIGHT OUT.json      (the key is in BARE_KEY)

OUT gets one [seconds on the monotonic clock, completion tokens] per body, in the order of the answers.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path


async def ask_all(url: str, bodies: list[bytes], in_flight: int) -> list[tuple[float, int]]:
    """Post `bodies` to a chat-completions endpoint, `in_flight` at a time."""
    import aiohttp
    import orjson

    answered: list[tuple[float, int]] = []
    left = iter(bodies)

    async def worker(session: aiohttp.ClientSession) -> None:
        for body in left:
            async with session.post(f"{url}/chat/completions", data=body) as response:
                reply = orjson.loads(await response.read())
            if response.status != 200:
                raise SystemExit(f"the server answered {response.status}: {reply}")
            answered.append((time.monotonic(), reply["usage"]["completion_tokens"]))

    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['BARE_KEY']}"}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout()) as session:
        await asyncio.gather(*(worker(session) for _ in range(in_flight)))
    return answered


if __name__ == "__main__":
    address, file, places, out = sys.argv[1:]
    found = asyncio.run(ask_all(address, Path(file).read_bytes().splitlines(), int(places)))
    Path(out).write_text(json.dumps(found))
