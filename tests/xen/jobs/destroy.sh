# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Guests that vanish in the middle of their I/O, at random moments: nothing of them is left behind, and
# the daemon goes on serving others. Then the daemon itself is killed.
# TINY and LINUX say how many.
. /lab/lib.sh

# Guests that never rest would leave the toolstack little of two processors.
xl sched-credit2 -d Domain-0 -w 1024
daemon_start
pid=$(daemon_pid)
RANDOM=${SEED:-$EPOCHSECONDS}
note "seed $RANDOM"
disk() { /lab/tiny/pattern make $CONFIGS/$1.img 1 0 4096; echo $CONFIGS/$1.img; }
served() { counter "$1" '.ioreqs | .pio_read + .pio_write'; }
begun() { [ "$(served storm)" -gt 50 ]; } 2>/dev/null
detached() { [ "$(ioemuctl -j list | jq '.guests | length')" = 1 ]; }

# The neighbour is there all the time.
create neighbour "$(tiny_config neighbour ioemu /lab/tiny/storm.elf "$(disk neighbour)")"
nap 3
before=$(holdings)
domains=$(hypervisor_domains)
note "before: $before; domains$domains"
began=$(served neighbour)

config=$(tiny_config storm ioemu /lab/tiny/storm.elf "$(disk storm)")
lost=0 busy=0 since=$SECONDS
for ((i = 0; i < TINY; i++)); do
    sed -i "s/^vcpus=.*/vcpus=$((i % 2 + 1))/" "$config"
    create storm "$config" || break
    # Every other one is well in its I/O; the rest wherever they are.
    [ $((i % 2)) = 0 ] && wait_for 10 begun
    nap "0.$((RANDOM % 900 + 100))"
    begun && busy=$((busy + 1))
    xl destroy storm || lost=$((lost + 1))
done
note "$i tiny guests in $((SECONDS - since)) s, $busy had begun their I/O"
[ $i = $TINY ] && [ $lost = 0 ]
judge destroy/tiny-guests $? "$i created, $lost not destroyed"
[ $((busy * 2)) -ge "$TINY" ]
judge destroy/in-the-middle-of-it $? "only $busy of $TINY had begun their I/O"

for ((i = 0; i < LINUX; i++)); do
    create linux "$(linux_config linux ioemu "$(linux_disk linux loop)")" || break
    nap $((RANDOM % 8 + 2))
    note "destroyed after $(served linux) requests"
    xl destroy linux || lost=$((lost + 1))
done
[ $i = $LINUX ] && [ $lost = 0 ]
judge destroy/booting-linux $? "$i created, $lost not destroyed"

wait_for 20 detached
judge destroy/daemon-let-go $? "$(ioemuctl list)"
after=$(holdings)
[ "$before" = "$after" ]
judge destroy/no-channel-descriptor-mapping-left $? "before: $before; after: $after"
now=$(hypervisor_domains)
[ "$domains" = "$now" ]
judge destroy/no-domain-kept-by-a-page $? "before:$domains; after:$now"
now=$(served neighbour)
nap 1
[ "$(served neighbour)" -gt "$now" ] && [ "$now" -gt "$began" ]
judge destroy/neighbour-still-served $? "$began, then $now requests"
! grep -q 'not ok' <<<"$(guest_says "$(domid neighbour)")"
judge destroy/neighbour-saw-no-error $? "$(guest_says "$(domid neighbour)" | grep 'not ok')"
[ "$(daemon_pid)" = "$pid" ]
judge destroy/daemon-still-the-same $?

# --- the daemon is killed ---------------------------------------------------------------------------
config=$(tiny_config other ioemu /lab/tiny/storm.elf "$(disk other)")
create other "$config"
nap 1
kill -KILL "$pid"
back() { [ "$(daemon_pid)" != "$pid" ] && [ "$(daemon_pid)" != 0 ] && ioemuctl list; }
wait_for 30 back
judge killed/comes-back $? "$(systemctl status ioemud --no-pager | head -5)"
check killed/old-guest-destroyed xl destroy other
check killed/old-neighbour-destroyed xl destroy neighbour
wait_for 20 only_dom0
judge killed/only-dom0-is-left $? "$(xl list | tail -n +3)"
xl sched-credit2 -d Domain-0 -w 256
no_records() { [ -z "$(ls /run/ioemud/guests)" ]; }
wait_for 5 no_records
judge killed/orphans-removed $? "$(ls /run/ioemud/guests)"
run_tiny killed/new-guest "$(tiny_config probe ioemu /lab/tiny/probe.elf "$(disk probe)")"
[ "$(hypervisor_domains)" = " 0" ]
judge killed/no-domain-kept-by-a-page $? "$(hypervisor_domains)"
finish
