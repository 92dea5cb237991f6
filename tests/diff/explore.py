# SPDX-License-Identifier: GPL-2.0-or-later
"""Sequences of operations on a pair of machines, until the time is over or one shows a difference, which
is then made shorter."""

import argparse
import os
import random
import shutil
import tempfile
import time

from qtest import Difference, Gone

FIXED_SEED = 20261121
MINIMISE_SECONDS = 120
SEQUENCE_SECONDS = 600  # on a machine that is busy with other tests; on a quiet one it takes some 10


def run(args, seed, layout, ops, deadline, patience=30):
    """(None or the Difference, how many operations were done, how many accesses). After `deadline` no
    operation is begun."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="diff-", dir=memory)
    pair, done, found = None, 0, None
    try:
        pair = args.suite.open_pair(args, folder, seed, layout, patience)
        args.suite.begin(pair)
        for op in ops:
            if time.monotonic() > deadline:
                break
            if args.verbose:
                print(op, flush=True)
            args.suite.perform(pair, op)
            done += 1
        pair.finish()
    except Difference as difference:
        found = difference
    except Gone as gone:
        found = Difference("gone", str(gone))
    finally:
        well = pair.close() if pair else True
        if not found:
            try:
                if not well:
                    raise Difference("exit", "our server did not end well: " + pair.ours.said())
                pair.closed()
            except Difference as difference:
                found = difference
        accesses = pair.ours.accesses if pair else 0
        shutil.rmtree(folder)
    return found, done, accesses


def minimise(args, seed, layout, ops, found):
    """Delta debugging: drop ever smaller parts as long as the same difference stays."""
    deadline = time.monotonic() + MINIMISE_SECONDS
    size = len(ops) // 2
    while size and time.monotonic() < deadline:
        at = args.suite.KEEP.get(layout, 0)
        while at < len(ops) and time.monotonic() < deadline:
            shorter = ops[:at] + ops[at + size:]
            again, done, _ = run(args, seed, layout, shorter, deadline, 1)
            if again and again.kind == found.kind:
                ops, found = shorter[:done + 1], again
            else:
                at += size
        size //= 2
    return ops, found


def explore(args, seed, deadline):
    """Sequences from one seed; (accesses, whether all was well)"""
    accesses, number = 0, 0
    while time.monotonic() < deadline and (not args.accesses or accesses < args.accesses):
        name = f"{seed}.{number}"
        rng = random.Random(name)
        layout = args.suite.LAYOUTS[number % len(args.suite.LAYOUTS)]
        ops = args.suite.generate(rng, layout, args.suite.OPS)
        found, done, count = run(args, name, layout, ops, time.monotonic() + SEQUENCE_SECONDS)
        accesses += count
        number += 1
        if not found:
            if done < len(ops):
                print(f"seed {name}: {done} of {len(ops)} operations in {SEQUENCE_SECONDS} s", flush=True)
            continue
        print(f"seed {name}, {layout}, operation {done}: {found}", flush=True)
        if not args.no_minimise:
            ops, found = minimise(args, name, layout, ops[:done + 1], found)
            print(f"shortest: {found}")
            for op in ops:
                print("   ", str(op)[:2000])
        return accesses, False
    return accesses, True


def main(suite, usage):
    """`suite`: OPS, how many a sequence has; LAYOUTS, what takes turns (of disks, the sectors of the four drives);
    KEEP, by layout, how many operations at the beginning none can do without; open_pair(args, folder, seed, layout,
    patience), with raw() and so on, finish(), close() and closed(); begin(pair); generate(rng, layout, count),
    operations; perform(pair, op)."""
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("server")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--seed")
    parser.add_argument("--seconds", type=float,
                        default=float(os.environ.get("IOEMUD_DIFF_SECONDS", 10)))
    parser.add_argument("--accesses", type=int, default=0)
    parser.add_argument("--no-minimise", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    args.suite = suite
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
