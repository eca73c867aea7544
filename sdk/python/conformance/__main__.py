"""`python -m conformance`: takes instructions on standard input, until that ends."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback

from conformance import defects
from conformance.driver import Driver
from conformance.lines import Output, lines_of
from conformance.running import MainThread

log = logging.getLogger("conformance")

STOP_WITHIN = 3.0
"""Seconds that agents have to end when standard input has ended: the process has 5."""
USAGE = 64


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(threadName)s %(name)s: %(message)s")
    defect = os.environ.get("CALLBOARD_DEFECT")
    if defect is not None and not defects.plant(defect):
        print(f"CALLBOARD_DEFECT: there is no defect {defect!r}", file=sys.stderr)
        return USAGE
    output, main_thread = Output.take(), MainThread()
    threading.Thread(target=_serve, args=(output, main_thread), name="conformance", daemon=True).start()
    main_thread.serve()
    return 0


def _serve(output: Output, main_thread: MainThread) -> None:
    """Serves until the end of standard input, and ends the process, whatever its handlers still do."""
    code = 1
    try:
        # Not asyncio.run, which waits for everything that still runs.
        asyncio.new_event_loop().run_until_complete(_take_instructions(output, main_thread))
        code = 0
    except BaseException:  # nothing may keep the process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _take_instructions(output: Output, main_thread: MainThread) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    driver = Driver(output, main_thread)

    def read() -> None:
        try:
            for line in lines_of(sys.stdin.buffer):
                # One after the other: each is begun before the next is read.
                asyncio.run_coroutine_threadsafe(driver.take(line), loop).result()
        finally:
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="conformance-input", daemon=True).start()
    driver.ready()
    await ended.wait()
    try:
        await asyncio.wait_for(driver.stop(), STOP_WITHIN)
    except asyncio.TimeoutError:
        log.warning("agents had not ended within %g s", STOP_WITHIN)


if __name__ == "__main__":
    sys.exit(main())
