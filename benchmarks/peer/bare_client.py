"""Send a plan's requests to a server and keep nothing: `python bare_client.py PLAN.json RESULT.json`.

This measures what HTTP alone allows. The result is the number of rows and the seconds from the first request to the
last answer.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    bodies = [body(plan, row["messages"]) for row in plan["rows"]]
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(ask_all(plan, bodies))))


def body(plan: dict[str, Any], messages: list[Any]) -> bytes:
    fields = {"model": plan["model"], "messages": messages, "structured_outputs": plan["grammar"]}
    return orjson.dumps(fields | plan["sampling"])


async def ask_all(plan: dict[str, Any], bodies: list[bytes]) -> dict[str, float]:
    left = iter(bodies)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {plan['key']}"}
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)

    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:

        async def worker() -> None:
            for content in left:
                async with session.post(f"{plan['url']}/chat/completions", data=content) as response:
                    orjson.loads(await response.read())["choices"]

        began = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(plan["knobs"]["in_flight"])))
        seconds = time.monotonic() - began
    return {"rows": len(bodies), "accepted": len(bodies), "seconds": seconds}


if __name__ == "__main__":
    main()
