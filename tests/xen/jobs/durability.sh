# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A disk that loses what was not flushed: the kernel's nbd, with nbdkit behind it, whose cache dies with it.
# For jobs whose guests write the journal (tiny/journal.h) to it: ". /lab/durability.sh" after lib.sh.
# Such a job has a function
#   life WHAT SECONDS   the life of a store, from put_up() to pulled(): the guest WHAT writes to /dev/nbd0 and is
#                       left alone for so long before kill_store(). Ends with held_to(), and so with its last
#                       line and status, or with 2: trouble, and a line that says what. What it says before
#                       is shown when something is lost

# Cuts with flushes, and without.
CUTS=${CUTS:-20} TRUST=${TRUST:-3}
store=$CONFIGS/store
socket=$CONFIGS/nbd.sock

check durability/nbd-module modprobe nbd
RANDOM=${SEED:-$EPOCHSECONDS}
note "seed $RANDOM"

# put_up: an empty one.
put_up()
{
    rm -f "$store" "$socket"
    truncate -s 8M "$store"
    nbdkit -P "$CONFIGS/nbd.pid" -U "$socket" --filter=cache file "$store" cache=writeback || return
    # What has been sent to a store that is dead fails after that time. Taking the device down at once would have it fail,
    # too, but then a flush of what nobody has any more succeeds.
    nbd-client -timeout 5 -unix "$socket" /dev/nbd0 >"$CONFIGS/nbd-client.out" 2>&1 || {
        cat "$CONFIGS/nbd-client.out"
        return 1
    }
}
kill_store() { kill -KILL "$(<"$CONFIGS/nbd.pid")"; }
pulled() { nbd-client -d /dev/nbd0 >/dev/null 2>&1; }
# held_to RECORD: judges what is left of it, if the guest was told that all up to there is safe.
held_to() { /lab/tiny/journal-check "$store" "$1"; }

# lives COUNT WHAT: counts the lives that ended well, with losses, in trouble.
lives()
{
    local i status
    kept=0 lost=0 trouble=0 records=0
    for ((i = 0; i < $1 && trouble == 0; i++)); do
        life "$2" "$((RANDOM % 3)).$((RANDOM % 900 + 100))" >"$CONFIGS/life" 2>&1
        status=$?
        case $status in
        0) kept=$((kept + 1)) ;;
        1) lost=$((lost + 1)) ;;
        *) trouble=1 ;;
        esac
        read -r -a words < <(tail -n 1 "$CONFIGS/life")
        [ $trouble = 1 ] || records=$((records + words[0]))
        note "$2: ${words[*]}"
        [ $status != 1 ] || sed 's/^/#     /' "$CONFIGS/life"
    done
}

# judge_lives FLUSHES TRUST: guests that flush, and that do not.
judge_lives()
{
    lives "$CUTS" "$1"
    [ $kept = "$CUTS" ] && [ $records -gt "$CUTS" ]
    judge durability/what-was-flushed-is-there $? "$kept of $CUTS: $(tail -n 1 "$CONFIGS/life")"
    [ $trouble = 0 ] && lives "$TRUST" "$2"
    [ $trouble = 0 ] && [ $lost -gt 0 ]
    judge durability/without-flushes-it-is-not $? "$lost of $TRUST lost any: $(tail -n 1 "$CONFIGS/life")"
}
