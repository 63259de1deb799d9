"""`make fuzz`: millions of mutated LDAP messages through our decoder, compared one by one with a slow one that goes by the book.

FUZZ_CASES = how many (10000000), FUZZ_SEED = where to begin (random), FUZZ_PROCESSES = how many at once (2). What fails is printed with its seed;
`FUZZ_SEED=<seed> FUZZ_CASES=1000 FUZZ_PROCESSES=1` repeats it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from random import SystemRandom

from tests.fuzz.target import Fuzzer

CASES = int(os.environ.get("FUZZ_CASES", "10000000"))
PROCESSES = int(os.environ.get("FUZZ_PROCESSES", "2"))
SEED = int(os.environ.get("FUZZ_SEED") or SystemRandom().randrange(10**9))
BATCH = 1000
LONGEST = 20
"""Seconds that a batch may take: a second or so is usual on a busy machine, and a decoder that hangs takes for ever."""


def run_batch(seed: int) -> tuple[int, float]:
    """Check one batch; return how many messages were accepted, and the seconds of processor time it took. Raises with the seed."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    began = time.process_time()
    try:
        accepted = Fuzzer(seed).run(BATCH)
    except BaseException as error:
        raise AssertionError(f"FUZZ_SEED={seed}: {type(error).__name__}: {error}") from error
    finally:
        signal.alarm(0)
    return accepted, time.process_time() - began


def main() -> None:
    """Run all batches, with a line now and then."""
    batches = max(1, CASES // BATCH)
    began, shown, accepted, slowest = time.monotonic(), 0.0, 0, 0.0
    print(f"{batches * BATCH:,} messages from seed {SEED}, {PROCESSES} processes", flush=True)
    with ProcessPoolExecutor(PROCESSES) as pool:
        for number, (took_in, seconds) in enumerate(pool.map(run_batch, range(SEED, SEED + batches), chunksize=10), 1):
            accepted, slowest, passed = accepted + took_in, max(slowest, seconds), time.monotonic() - began
            if passed - shown > 15 or number == batches:
                shown = passed
                rate = number * BATCH / passed
                print(f"{number * BATCH:>12,} messages  {accepted:>11,} accepted  {rate:>8,.0f}/s  slowest thousand {slowest:.2f} s", flush=True)
    print("no crash, no hang, no wrong entry", flush=True)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"a batch of {BATCH} messages took more than {LONGEST} s")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as failure:
        sys.exit(f"fuzz: {failure}")
