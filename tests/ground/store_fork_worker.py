"""A process that opens a store and forks, for tests of the store: store_fork_worker.py PATH WHAT THE CHILD DOES.

The parent prints how many answers there are at the end; both exit as a program does, not by `os._exit`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from store_worker import sample

from tandem.errors import UserError
from tandem.store import Store


def refused(ask, why: str) -> None:
    try:
        ask()
    except UserError as e:
        assert why in str(e) and "spawn" in e.remedy, e
    else:
        raise AssertionError(f"{ask} was not refused")


async def put(store: Store) -> None:
    await store.put([sample("we", 1)])


def main(path: str, does: str) -> None:
    store, started = Store(path), threading.Event()
    asyncio.run(put(store))

    def slow(connection) -> None:
        connection.execute("INSERT INTO models (name) VALUES ('slow')")
        started.set()
        time.sleep(0.4)

    def held() -> None:
        with store._lock:
            time.sleep(0.4)

    store._writer.submit(slow)
    threading.Thread(target=held).start()
    started.wait()
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"the child ended with {status}"
        store.flush()
        print(store.stats()["model"]["answers"], *store.names())
        store.close()
    elif does == "ask":
        asks = [store.flush, store.names, lambda: asyncio.run(put(store))]
        asks.append(lambda: store.find(sample("we", 1).request, [0], max_tokens=16))
        for ask in asks:
            refused(ask, "parent of this process")
    elif does == "close":
        store.close()
        store.close()
    elif does == "open":
        refused(lambda: Store(path), "forked")
        refused(lambda: Store(path, read_only=True), "forked")
        with Store(path + ".other") as other:
            asyncio.run(put(other))
    elif does == "forget":
        del store


if __name__ == "__main__":
    main(*sys.argv[1:])
