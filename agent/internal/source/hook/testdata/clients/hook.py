#!/usr/bin/env python3
"""Tells posdx of a sale and of the response code it ended with, and prints the verdicts as they come.

    hook.py 96 host 000123
"""
import json
import os
import socket
import sys


class Hook:
    """One connection to posdx. Every call waits a bounded time; what goes wrong is an OSError."""

    def __init__(self, path=os.environ.get("POSDX_SOCKET", "/run/posdx/hook.sock"), timeout=1.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def ask(self, **request):
        """Sends a request and yields its answers."""
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            line = self.lines.readline()
            if not line:
                raise ConnectionError("posdx hung up")
            answer = json.loads(line)
            yield answer
            if not answer.get("more"):
                return

    def tell(self, **request):
        """Sends a request that has one answer and returns it."""
        return next(self.ask(**request))


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: hook.py CODE host|terminal|cashier|unknown STAN")
    code, origin, stan = sys.argv[1:]
    hook = Hook(timeout=20.0)
    hook.tell(type="txn", phase="start", stan=stan)
    hook.tell(type="txn", phase="sent", stan=stan, connect_ms=41)
    hook.tell(type="txn", phase="end", stan=stan, result="declined", code=code)
    txn = {"stan": stan, "mti": "0210", "sent": True, "host_answer_seen": origin == "host", "response_ms": 812}
    for answer in hook.ask(type="code", code=code, origin=origin, txn=txn, wait="final"):
        print(json.dumps(answer, ensure_ascii=False))
        if answer["result"] in ("error", "busy"):
            sys.exit(1)


if __name__ == "__main__":
    main()
