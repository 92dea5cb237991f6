#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/diff/diff_e1000.py SERVER [--seed N] [--seconds N] [--verbose]

Drives our 82540EM (SERVER is qtest_server) and QEMU's with the same random operations until the time is
over or something differs that deliberate.md does not allow for; then the shortest sequence that shows it
is looked for, and printed. Without a seed it is always the same one; with IOEMUD_DIFF_FRESH in the
environment half of the time goes to a fresh one, which is printed. Ends with 0, 1 (a difference), or 77
(no QEMU: skipped)."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

from e1000_ops import generate, generate_receiver, perform
from e1000_pair import Difference, Pair
from qtest import Gone

FIXED_SEED = 20261126
OPS = 300  # a sequence
MINIMISE_SECONDS = 120


def run(args, ops):
    """(None or the Difference, how many operations were done, how many accesses)"""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="diff-e1000-", dir=memory)
    pair, done, found = None, 0, None
    try:
        pair = Pair(args.server, args.qemu, folder, bool(ops) and ops[0][0] == "receiver")
        for op in ops:
            if args.verbose:
                print(op, flush=True)
            perform(pair, op)
            done += 1
    except Difference as difference:
        found = difference
    except Gone as gone:
        found = Difference("gone", str(gone))
    finally:
        if pair and not pair.close() and not found:
            found = Difference("exit", "our server did not end well: " + pair.ours.said())
        accesses = pair.ours.accesses if pair else 0
        shutil.rmtree(folder)
    return found, done, accesses


def minimise(args, ops, found):
    """Delta debugging: drop ever smaller parts as long as the same difference stays."""
    deadline = time.monotonic() + MINIMISE_SECONDS
    size = len(ops) // 2
    first = int(ops[0][0] == "receiver")
    while size and time.monotonic() < deadline:
        at = first
        while at < len(ops) and time.monotonic() < deadline:
            shorter = ops[:at] + ops[at + size:]
            again, done, _ = run(args, shorter)
            if again and again.kind == found.kind:
                ops, found = shorter[:done + 1], again
            else:
                at += size
        size //= 2
    return ops, found


def explore(args, seed, deadline):
    """Sequences from one seed; (accesses, whether all was well)"""
    accesses, number = 0, 0
    while time.monotonic() < deadline:
        name = f"{seed}.{number}"
        rng = random.Random(name)
        ops = generate_receiver(rng, OPS) if number % 2 else generate(rng, OPS)
        found, done, count = run(args, ops)
        accesses += count
        number += 1
        if not found:
            continue
        print(f"seed {name}, operation {done}: {found}", flush=True)
        if not args.no_minimise:
            ops, found = minimise(args, ops[:done + 1], found)
            print(f"shortest: {found}")
            for op in ops:
                print("   ", str(op)[:2000])
        return accesses, False
    return accesses, True


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("server")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--seed")
    parser.add_argument("--seconds", type=float,
                        default=float(os.environ.get("IOEMUD_DIFF_SECONDS", 10)))
    parser.add_argument("--no-minimise", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if not shutil.which(args.qemu):
        print(f"skipped: there is no {args.qemu} (Debian: qemu-system-x86)")
        return 77
    seeds = [args.seed] if args.seed else [FIXED_SEED]
    if not args.seed and os.environ.get("IOEMUD_DIFF_FRESH"):
        seeds.append(random.SystemRandom().randrange(1 << 32))
    start, total = time.monotonic(), 0
    for i, seed in enumerate(seeds):
        print(f"seed {seed}", flush=True)
        accesses, good = explore(args, seed, start + args.seconds * (i + 1) / len(seeds))
        total += accesses
        if not good:
            return 1
    print(f"{total} accesses, no difference that is not deliberate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
