#!/usr/bin/env python3
"""Makes this node the worse choice the more work waits for its processors.

usage: load.py LIMIT [SECONDS]
"""
import json
import os
import sys
import threading


def say(**line):
    print(json.dumps(line), flush=True)


def look():
    load = os.getloadavg()[0]
    if load > float(sys.argv[1]):
        say(vote="penalty", penalty=1 + int(10 * max(load, 0)), reason="load %.1f" % load)
    else:
        say(vote="ok")


stopped = threading.Event()


def listen():
    for text in sys.stdin:
        line = json.loads(text)
        if line["event"] == "stop":
            break
        if line["event"] == "taken":
            say(log="a group came here", group=line["group"])
    stopped.set()


threading.Thread(target=listen, daemon=True).start()
while not stopped.is_set():
    look()
    stopped.wait(float(sys.argv[2]) if len(sys.argv) > 2 else 10)
