#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Durability, with the shipped daemon and a simulated guest, and of PV disks with their backend alone: the
# disk is a file on FUSE that leads to nbdkit, whose cache holds what has not been flushed and dies with it.
# It is killed at random moments; then everything that the guest was told is safe must be in the store, and
# no sector torn. Without flushes the same must fail. IOEMUD_CUTS says how often (20), IOEMUD_SEED repeats a
# run.
#
# Programs: $IOEMUD, $JOURNAL_GUEST, $JOURNAL_PV, $JOURNAL_CHECK. Status 77: this machine has no FUSE or no
# nbdkit.
set -u
seed=${IOEMUD_SEED:-$$}
RANDOM=$seed
cuts=${IOEMUD_CUTS:-20}
dir=$(mktemp -d /tmp/ioemud-cut-XXXXXX)
daemon='' store='' fuse=''
failed=0

# kill_wait SIGNAL PID
kill_wait()
{
    kill -"$1" "$2" 2>/dev/null
    wait "$2" 2>/dev/null
}

take_down()
{
    [ -z "$store" ] || kill_wait KILL "$store"
    [ -z "$fuse" ] || { umount "$dir/disk" || umount -l "$dir/disk"; } 2>/dev/null
    [ -z "$fuse" ] || wait "$fuse"
    store='' fuse=''
}

finish()
{
    take_down
    [ -z "$daemon" ] || kill_wait TERM "$daemon"
    rm -rf "$dir"
}
trap finish EXIT

# wait_for COMMAND...: at most ten seconds.
wait_for()
{
    local i
    for ((i = 0; i < 1000; i++)); do
        ! "$@" 2>/dev/null || return 0
        sleep 0.01
    done
    echo "# in vain: $*"
    return 1
}

put_up()
{
    rm -f "$dir/store" "$dir/nbd"
    truncate -s 32M "$dir/store"
    nbdkit -f -U "$dir/nbd" --filter=cache file "$dir/store" cache=writeback &
    store=$!
    wait_for test -S "$dir/nbd" || return
    # It ends when it is unmounted, or aborts when its server is gone.
    (nbdfuse "$dir/disk" "nbd+unix:///?socket=$dir/nbd"; :) 2>/dev/null &
    fuse=$!
    wait_for test -f "$dir/disk/nbd"
}

# guest CACHE|pv|pv-nbd MODE: becomes one. pv-nbd: a PV disk of which the store is asked itself.
guest()
{
    [ "$1" != pv ] || exec "$JOURNAL_PV" "$dir/disk/nbd" "$2"
    [ "$1" != pv-nbd ] || exec "$JOURNAL_PV" "$dir/nbd" "$2"
    cat >"$dir/guests.d/journal.json" <<END
{ "hypervisor": "shm", "disks": [ { "vdev": "hda", "path": "$dir/disk/nbd", "cache": "$1" } ] }
END
    exec "$JOURNAL_GUEST" "$dir/shm.sock" journal "$2"
}

# life CACHE|pv|pv-nbd MODE MS: one life of the guest, which ends with its store. Prints what the checker says.
life()
{
    local cache=$1 mode=$2 ms=$3 guest safe status
    put_up || return 2
    : >"$dir/said"
    guest "$cache" "$mode" >"$dir/said" &
    guest=$!
    wait_for test -s "$dir/said" || { kill_wait KILL "$guest"; take_down; return 2; }
    sleep "$(printf '0.%03d' "$ms")"
    kill_wait KILL "$store"
    wait "$guest"
    status=$?
    take_down
    [ $status = 0 ] || { echo "the guest ended with $status"; return 2; }
    safe=$(tail -n 1 "$dir/said")
    "$JOURNAL_CHECK" "$dir/store" "${safe:-0}"
}

# cuts COUNT CACHE|pv|pv-nbd MODE WANTED: WANTED is what each of them, or with 1 any of them, must come to.
cuts()
{
    local count=$1 cache=$2 mode=$3 wanted=$4 i ms status bad=0 trouble=0 records=0 more
    for ((i = 0; i < count; i++)); do
        ms=$((RANDOM % 250))
        life "$cache" "$mode" "$ms" >"$dir/output"
        status=$?
        more=$(sed -n 's/^\([0-9]*\) records safe.*/\1/p' "$dir/output")
        records=$((records + ${more:-0}))
        [ $status != 1 ] || bad=$((bad + 1))
        [ $status != 2 ] || trouble=1
        [ $status = "$wanted" ] || [ "$wanted" = 1 ] || sed "s/^/  after $ms ms: /" "$dir/output"
        [ $trouble = 0 ] || break
    done
    echo "$cache, $mode: $i cuts, $records records safe, $bad with losses"
    [ $trouble = 0 ] && if [ "$wanted" = 0 ]; then [ $bad = 0 ]; else [ $bad -gt 0 ]; fi && return
    echo "not ok"
    failed=1
}

for program in nbdkit nbdfuse; do
    command -v $program >/dev/null || { echo "no $program here"; exit 77; }
done
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "FUSE takes root and /dev/fuse here"; exit 77; }

mkdir "$dir/guests.d" "$dir/disk"
cat >"$dir/ioemud.json" <<END
{
  "workers": 1, "xen": false, "worker_user": "nobody",
  "control_socket": "$dir/control.sock", "stats_socket": "$dir/stats.sock",
  "shm_socket": "$dir/shm.sock", "run_dir": "$dir/run", "guests_dir": "$dir/guests.d"
}
END
"$IOEMUD" -c "$dir/ioemud.json" 2>"$dir/log" &
daemon=$!
wait_for test -S "$dir/shm.sock" || exit 1

echo "seed $seed"
cuts "$cuts" writeback flush 0
cuts $(((cuts + 3) / 4)) writeback trust 1
cuts $(((cuts + 3) / 4)) writethrough trust 0
cuts $(((cuts + 3) / 4)) writeback cache-off 0
cuts "$cuts" pv flush 0
cuts $(((cuts + 3) / 4)) pv barrier 0
cuts $(((cuts + 3) / 4)) pv trust 1
cuts $(((cuts + 1) / 2)) pv-nbd flush 0
cuts $(((cuts + 3) / 4)) pv-nbd barrier 0
cuts $(((cuts + 3) / 4)) pv-nbd trust 1
kill -0 "$daemon" || { echo "not ok: the daemon has ended"; failed=1; }
[ $failed = 0 ] || grep -v event=disk-error "$dir/log" | tail -n 20 | sed 's/^/    log: /'
exit $failed
