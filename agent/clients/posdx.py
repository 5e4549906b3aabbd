#!/usr/bin/env python3
"""A payment application's way to posdx. Python 3.6 and newer, nothing but its own library.

    posdx.py 96 host 000123

tells a sale that ended with a response code and prints the verdicts as they come. Never give a card number, an amount or a name.
Exit 0: there is a verdict; 1: posdx is not there, does not answer or refuses; 2: wrong usage; 3: taken in and not explained yet. What
was taken in is kept and is explained: do not tell it again, ask for the status later.
"""
import json
import os
import socket
import sys
import time

SOCKET = "/run/posdx/hook.sock"
FIRST, FINAL = 1.5, 15.5  # seconds to wait for a first and for the final verdict


class Posdx:
    """One connection. Every call ends within its timeout; what goes wrong is an OSError, and then the sale goes on without posdx."""

    def __init__(self, path=None, timeout=FIRST):
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path or os.environ.get("POSDX_SOCKET", SOCKET))
        except OSError:
            self._socket.close()
            raise

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, timeout=FIRST, **request):
        """Sends a request and yields its answers; all of them come within timeout seconds."""
        end = time.monotonic() + timeout
        self._socket.settimeout(timeout)
        self._socket.sendall(json.dumps(request).encode() + b"\n")  # Python ignores SIGPIPE: a daemon that is gone is an OSError
        while True:
            answer = json.loads(self._line(end).decode("utf-8"))
            yield answer
            if not answer.get("more"):
                return

    def tell(self, timeout=FIRST, **request):
        """Sends a request that has one answer and returns it."""
        return next(self.ask(timeout=timeout, **request))

    def _line(self, end):
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0:
                raise socket.timeout("posdx does not answer in time")
            self._socket.settimeout(left)
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("posdx hung up")
            self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        return line


def main():
    if len(sys.argv) != 4:
        print("usage: posdx.py CODE host|terminal|cashier|unknown STAN", file=sys.stderr)
        sys.exit(2)
    code, origin, stan = sys.argv[1:]
    try:
        with Posdx() as posdx:
            posdx.tell(type="txn", phase="start", stan=stan)
            posdx.tell(type="txn", phase="end", stan=stan, result="declined", code=code)
            txn = {"stan": stan, "mti": "0210", "sent": True, "host_answer_seen": origin == "host"}
            verdict = answer = {}
            for answer in posdx.ask(timeout=FINAL, type="code", code=code, origin=origin, txn=txn, wait="final"):
                print(json.dumps(answer, ensure_ascii=False))
                verdict = answer.get("verdict", verdict)  # a busy terminal may have none at first
            if not verdict:
                sys.exit(3 if answer.get("result") == "accepted" else 1)
    except OSError as e:
        sys.exit("posdx: %s" % e)


if __name__ == "__main__":
    main()
