#!/usr/bin/env python3
"""A payment application's way to posdx. Python 3.6 and newer, nothing but its own library.

    posdx.py 96 host 000123
    posdx.py verdict 00007c-000000012f

tells a sale that ended with a response code and prints the verdicts as they come, or asks for the verdict of an earlier one by its id.
Never give a card number, an amount or a name.
Exit 0: there is a verdict; 1: posdx is not there, does not answer or refuses; 2: wrong usage; 3: taken in and not explained yet. What
was taken in is kept and is explained: do not tell it again, ask for the verdict by the id that was printed.
"""
import json
import os
import socket
import sys
import time

SOCKET = "/run/posdx/hook.sock"
FIRST, FINAL = 1.5, 15.5  # seconds to wait for a first and for the final verdict
MAX_ANSWER = 1 << 20  # bytes


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
            line = self._line(end)
            try:
                answer = json.loads(line.decode("utf-8"))
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                raise ConnectionError("what answers is not posdx")
            yield answer
            if not answer.get("more"):
                return

    def tell(self, timeout=FIRST, **request):
        """Sends a request that has one answer and returns it."""
        return next(self.ask(timeout=timeout, **request))

    def verdict(self, id, timeout=FIRST, **how):
        """Asks for the verdict of an earlier code by the id of its answer; wait="final" waits for the last one. It counts nothing."""
        for answer in self.ask(timeout=timeout, type="verdict", id=id, **how):
            pass
        return answer

    def _line(self, end):
        while b"\n" not in self._rest:
            if len(self._rest) > MAX_ANSWER:
                raise ConnectionError("posdx's answer does not end")
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
    again = len(sys.argv) == 3 and sys.argv[1] == "verdict"
    if len(sys.argv) != 4 and not again:
        print("usage: posdx.py CODE host|terminal|cashier|unknown STAN\n       posdx.py verdict ID", file=sys.stderr)
        sys.exit(2)
    try:
        with Posdx() as posdx:
            if again:
                request = {"type": "verdict", "id": sys.argv[2]}
            else:
                code, origin, stan = sys.argv[1:]
                posdx.tell(type="txn", phase="start", stan=stan)
                posdx.tell(type="txn", phase="end", stan=stan, result="declined", code=code)
                txn = {"stan": stan, "mti": "0210", "sent": True, "host_answer_seen": origin == "host"}
                request = {"type": "code", "code": code, "origin": origin, "txn": txn}
            verdict = answer = {}
            for answer in posdx.ask(timeout=FINAL, wait="final", **request):
                print(json.dumps(answer, ensure_ascii=False))
                verdict = answer.get("verdict", verdict)  # a busy terminal may have none at first
            if not verdict:
                sys.exit(3 if answer.get("result") == "accepted" else 1)
    except OSError as e:
        sys.exit("posdx: %s" % e)


if __name__ == "__main__":
    main()
