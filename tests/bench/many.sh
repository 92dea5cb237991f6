#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
#   tests/bench/many.sh BUILD
#
# A thousand guests of one daemon: what an idle one costs, what the others cost one that works, how long
# coming and going take. Goals that are missed are marked ">"; bench_many.c says what a fair share is, and by
# which server beside the daemon it is measured.
# $GUESTS (1000), $HAMMERING (99), $IDLE_S (10) and $MS (2000), for each kind of round trip and server. $CPUS (0,1) are the
# processors that daemon and guests have together. The guests' images are in $TMPDIR (/tmp).
set -eu
build=$1
export IOEMUD=$build/daemon/ioemud
exec taskset -c "${CPUS:-0,1}" "$build/tests/bench/bench_many" "${GUESTS:-1000}" "${HAMMERING:-99}" \
    "${IDLE_S:-10}" "${MS:-2000}"
