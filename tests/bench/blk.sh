#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
#   tests/bench/blk.sh BUILD [backend] [pv] [ide]
#
# Disks beside fio, on the same O_DIRECT files: the block backend alone and a PV disk of a simulated guest,
# both at several depths, and IDE DMA of a simulated guest with one and two channels against as many of fio's
# jobs at depth 1; all of these or those that are named. The two take turns,
# $ROUNDS (21) times $MS (250), many and short because the disk of a virtual machine changes its speed from
# second to second; the ratio is the median of the rounds' ratios, with the smallest and the largest. Ratios
# below their goal are marked. The files are in $BENCH_DIR (/var/tmp). $RUN, if it is
# set, runs both: "chrt -r 2" on a machine that does other work meanwhile.
set -eu
build=$1
shift
[ $# -gt 0 ] || set -- backend pv ide
rounds=${ROUNDS:-21} ms=${MS:-250}
read -r -a run <<<"${RUN:-}"
dir=$(mktemp -d "${BENCH_DIR:-/var/tmp}/ioemud-bench-XXXXXX")
trap 'rm -rf "$dir"' EXIT
export IOEMUD=$build/daemon/ioemud

for file in 0 1; do
    dd if=/dev/urandom of="$dir/$file" bs=1M count="${BENCH_MIB:-256}" conv=fsync 2>/dev/null
done

# fio_iops RW KIB DEPTH FILE...: requests a second of all jobs.
fio_iops()
{
    local rw=$1 kib=$2 depth=$3 file jobs=()
    shift 3
    for file; do jobs+=("--name=$file" "--filename=$file"); done
    "${run[@]}" fio --ioengine=libaio --direct=1 --rw="$rw" --bs="${kib}k" --iodepth="$depth" --time_based \
        --runtime="${ms}ms" --norandommap --group_reporting --output-format=terse \
        --terse-version=3 "${jobs[@]}" |
        awk -F ';' '{ sum += $8 + $49 } END { printf "%.0f\n", sum }'
}

# row WHAT KIB DEPTH GOAL OURS... -- FIO...: both commands by turns.
row()
{
    local what=$1 kib=$2 depth=$3 goal=$4 ours=() round a b
    shift 4
    while [ "$1" != -- ]; do ours+=("$1"); shift; done
    shift
    for ((round = 0; round < rounds; round++)); do
        if [ $((round % 2)) = 0 ]; then
            a=$("${run[@]}" "${ours[@]}")
            b=$("$@")
        else
            b=$("$@")
            a=$("${run[@]}" "${ours[@]}")
        fi
        echo "$a $b"
    done | awk -v what="$what" -v kib="$kib" -v depth="$depth" -v goal="$goal" '
        function sort(x, n,    i, j, t) {
            for (i = 2; i <= n; i++)
                for (j = i; j > 1 && x[j] < x[j - 1]; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
        }
        { ours[NR] = $1; fio[NR] = $2; ratio[NR] = $1 / $2 }
        END {
            sort(ours, NR); sort(fio, NR); sort(ratio, NR); m = int((NR + 1) / 2)
            printf "%-26s %4d %5d %8d %8d  %5.2f (%4.2f-%4.2f) %s\n", what, kib, depth, ours[m], fio[m],
                ratio[m], ratio[1], ratio[NR],
                goal == 0 ? "" : ratio[m] < goal ? "< " goal : ">= " goal
        }'
}

backend()
{
    local rw depth
    for rw in randread randwrite; do
        for depth in 1 2 4 8 16 32; do
            row "backend, $rw" 4 $depth 0.95 "$build/tests/bench/bench_blk" "$dir/0" $rw 4 $depth "$ms" \
                -- fio_iops $rw 4 $depth "$dir/0"
        done
    done
    for depth in 1 8 32; do
        row "backend, read" 64 $depth 0.95 "$build/tests/bench/bench_blk" "$dir/0" read 64 $depth "$ms" \
            -- fio_iops read 64 $depth "$dir/0"
    done
}

pv()
{
    local rw depth kib goal
    for rw in randread randwrite; do
        for kib in 4 128; do
            for depth in 1 8 32; do
                goal=0
                [ $kib.$depth != 4.32 ] || goal=0.9
                row "PV disk, $rw" $kib $depth $goal "$build/tests/bench/bench_pvblk" "$dir/0" $rw $kib $depth \
                    "$ms" -- fio_iops $rw $kib $depth "$dir/0"
            done
        done
    done
}

ide()
{
    local channels rw kib goal files
    for channels in 1 2; do
        files=("$dir/0" "$dir/1")
        files=("${files[@]::channels}")
        for rw in read write; do
            for kib in 4 64 128; do
                goal=0.85
                [ $kib -ge 64 ] || goal=0
                row "IDE DMA, channels: $channels, $rw" $kib 1 $goal "$build/tests/bench/bench_ide" \
                    "${files[@]}" $rw $kib "$ms" -- fio_iops $rw $kib 1 "${files[@]}"
            done
        done
    done
}

printf '%-26s %4s %5s %8s %8s  %5s %11s %s\n' '' KiB depth ours/s fio/s ratio '' goal
for part; do
    case $part in
    backend | pv | ide) "$part" ;;
    *) echo "blk.sh: no part '$part'" >&2; exit 2 ;;
    esac
done
