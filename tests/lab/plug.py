# SPDX-License-Identifier: BSD-2-Clause
"""A bad network peer, run on a lab host by fault.py.

    plug.py silent PORT                             accepts, reads, never says a word
    plug.py proxy PORT TARGET_PORT AFTER THEN DELAY  forwards to 127.0.0.1:TARGET_PORT; after AFTER bytes
        from the server (-1: never) it does THEN: stall (nothing moves any more), close or reset;
        each chunk takes DELAY seconds either way
"""
import select
import socket
import struct
import sys
import threading
import time


def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.listen(64)
    print("ready", flush=True)
    return s


def swallow(conn):
    try:
        while conn.recv(65536):
            pass
        time.sleep(3600)  # a half-closed peer gets no answer either
    except OSError:
        pass


def end(socks, how):
    for s in socks:
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def forward(client, port, left, then, delay):
    """One client connection and its twin to the server."""
    try:
        server = socket.create_connection(("127.0.0.1", port))
    except OSError:  # the server refuses: so do we
        return end([client], "reset")
    counted = left >= 0
    try:
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                time.sleep(delay)
                if counted and source is server:
                    data, left = data[:left], left - len(data)
                (client if source is server else server).sendall(data)
                if counted and left <= 0:
                    if then == "stall":
                        time.sleep(86400)
                    return end([client, server], then)
                if not data:
                    return end([client, server], "close")
    except OSError:
        end([client, server], "reset")


def main(mode, port, *args):
    door, kept = listen(int(port)), []
    while True:
        conn, _ = door.accept()
        if mode == "silent":
            kept.append(conn)
            body, words = swallow, (conn,)
        else:
            target, after, then, delay = args
            body, words = forward, (conn, int(target), int(after), then, float(delay))
        threading.Thread(target=body, args=words, daemon=True).start()


main(*sys.argv[1:])
