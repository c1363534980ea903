#!/usr/bin/python3
"""A widget with dbus-next (Debian: python3-dbus-next): what is wrong and what to do, at each change. It does not poll."""

import asyncio
import json
import subprocess

from dbus_next import BusType, Message
from dbus_next.aio import MessageBus

NAME, ROOT, BUS = "org.offloadd.Offload1", "/org/offloadd/Offload1", "org.freedesktop.DBus"
RULES = [
    f"type='signal',sender='{NAME}',path_namespace='{ROOT}'",
    f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'",
]


def told():
    """On the bus there are codes; the words for them are offloadctl's. It starts no daemon."""
    line = subprocess.run(["offloadctl", "bar", "--format", "json", "--once"], capture_output=True, check=True)
    now = json.loads(line.stdout)
    return "\n".join([now["state"]] + [f"  {now[key]}" for key in ("title", "remedy") if now[key]])


async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    news = asyncio.Event()
    bus.add_message_handler(lambda message: news.set() if message.path and message.sender != bus.unique_name else None)
    for rule in RULES:
        await bus.call(Message(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", signature="s", body=[rule]))
    shown = None
    while True:
        news.clear()
        text = await asyncio.to_thread(told)
        if text != shown:
            shown = text
            print(text, flush=True)
        await news.wait()


asyncio.run(main())
