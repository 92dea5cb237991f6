#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ioemuctl and `ioemud --check` as administrators use them, against the shipped daemon: words and exit
# statuses. Programs: $IOEMUD, $IOEMUCTL.
set -u
dir=$(mktemp -d /tmp/ioemud-ctl-XXXXXX)
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$dir"' EXIT
failed=0
mkdir "$dir/guests.d" "$dir/shown"

# expect STATUS TEXT COMMAND...: TEXT, a fixed string, is in the output.
expect()
{
    local status=$1 text=$2 output got
    shift 2
    output=$("$@" 2>&1)
    got=$?
    if [ $got != "$status" ] || ! grep -qF -- "$text" <<<"$output"; then
        echo "not ok: $* (status $got, wanted $status and \"$text\")"
        head -n 12 <<<"$output" | sed 's/^/    /'
        failed=1
    fi
}
ctl() { "$IOEMUCTL" -s "$dir/control.sock" "$@"; }
stats() { "$IOEMUCTL" -s "$dir/stats.sock" "$@"; }

# screen TERM [KEYS]...: `top` on a terminal, typed at while it runs; its exit status.
screen()
{
    local term=$1
    shift
    TERM=$term LC_ALL=C.UTF-8 timeout 20 python3 - "$dir/stats.sock" "$@" <<'END'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    program = os.environ["IOEMUCTL"]
    os.execl(program, program, "-s", sys.argv[1], "top", "--interval", "0.1")
def read(seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and select.select([fd], [], [], left)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            return
        if not data:
            return
        sys.stdout.buffer.write(data)
read(1)
for keys in sys.argv[2:]:
    os.write(fd, keys.encode())
    read(1)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

cat >"$dir/ioemud.json" <<END
{
  "workers": 1, "xen": false, "worker_user": "nobody",
  "control_socket": "$dir/control.sock", "stats_socket": "$dir/stats.sock",
  "shm_socket": "$dir/shm.sock", "run_dir": "$dir/run", "guests_dir": "$dir/guests.d"
}
END
echo '{ "hypervisor": "shm", "disks": [ { "vdev": "hda", "format": "mem", "size": "1M" } ] }' \
    >"$dir/guests.d/sim1.json"
echo '{ "hypervisor": "shm", "disks": [ { "vdev": "sda", "path": "/x" } ] }' >"$dir/guests.d/bad.json"
echo '{ "hypervisor": "shm", "disks": [ { "vdev": "hda" } ] }' >"$dir/guests.d/half.json"
echo '{ "hypervisor": "shm", "disks": [], "nics": [ { "backend": "null" } ] }' >"$dir/sim2.json"

# Before there is a daemon.
expect 3 'is the daemon running?' ctl list
expect 2 'a command is expected' ctl
expect 2 'no such command: lsit' ctl lsit
expect 2 'Try ioemuctl --help.' ctl --jsno list
expect 2 'missing after attach' ctl attach
expect 2 'one argument too many: b' ctl detach a b
expect 2 '--force does not go with list' ctl list --force
expect 2 '--domid does not go with shutdown' ctl shutdown --domid 3
expect 2 'no id of a domain: 0' ctl attach x --domid 0
expect 2 'an argument is missing after link' ctl link sim1 0
expect 2 '--limit does not go with link' ctl link sim1 0 up --limit 1M
expect 1 'no number of a NIC (0 to 7): 8' ctl link sim1 8 up
expect 1 'up or down is expected, not on' ctl link sim1 0 on
expect 1 'no size: 1X' ctl capture sim1 0 x.pcap --limit 1X
expect 1 'no JSON at column' ctl nic-add sim1 '{'
expect 2 '--sort do not go with list' ctl list --sort name
expect 2 'this is not for top: colour' ctl top --sort colour
expect 2 'this is not for top: 0.01' ctl top -i 0.01
expect 3 'is the daemon running?' ctl top
expect 2 '--textfile does not go with list' ctl list --textfile x
expect 2 '--openmetrics does not go with list' ctl list --openmetrics
expect 2 'does not read OpenMetrics: x' ctl metrics --openmetrics --textfile x
expect 2 'no number of seconds: soon' ctl -t soon list
expect 2 'no number of requests: 0' ctl trace sim1 --count 0
expect 2 '--filter and --count do not go with list' ctl list --count 3
expect 2 'missing after trace' ctl trace
expect 2 'one argument too many: c' ctl log-level a b c
expect 0 'Exit status:' ctl --help
expect 0 'ioemuctl ' ctl --version
expect 1 'bad.json:1:45: at /disks/0/vdev:' "$IOEMUD" -c "$dir/ioemud.json" --check
expect 1 'half.json: at /disks/0' "$IOEMUD" -c "$dir/ioemud.json" --check
expect 1 '2 bad configuration files' "$IOEMUD" -c "$dir/ioemud.json" --check
expect 0 'sim2.json: good' "$IOEMUD" -c "$dir/ioemud.json" --check "$dir/sim2.json"
echo '{ "worker": 2 }' >"$dir/wrong.json"
expect 1 'did you mean "workers"?' "$IOEMUD" -c "$dir/wrong.json"
expect 1 'No such file' "$IOEMUD" -c "$dir/none.json"

"$IOEMUD" -c "$dir/ioemud.json" 2>"$dir/log" &
pid=$!
for ((i = 0; i < 100; i++)); do
    ! ctl list >/dev/null 2>&1 || break
    sleep 0.1
done

expect 0 'No guests are attached.' ctl list
expect 0 'No guests are attached.' stats stats
expect 0 'WORKER' stats stats
expect 0 'ioemud_build_info{version=' stats metrics
expect 0 '# EOF' stats metrics --openmetrics
expect 0 '"content_type":"text/plain' ctl --json metrics
expect 0 '' stats metrics --textfile "$dir/ioemud.prom"
expect 0 'ioemud_build_info{version=' cat "$dir/ioemud.prom"
expect 1 'none/x.prom: No such file' stats metrics --textfile "$dir/none/x.prom"
expect 1 'another ioemud is running' "$IOEMUD" -c "$dir/ioemud.json"
expect 0 'sim1 is attached' ctl attach sim1
expect 1 'attached already' ctl attach sim1
expect 1 'bad.json:1:45' ctl attach bad
expect 1 'No such file' ctl attach nobody
expect 1 'No such file' ctl attach "$dir/nobody.json"
expect 1 'disk hda has no "path"' ctl attach "$dir/guests.d/half.json"
expect 1 'disk hda has no "path"' ctl attach half
expect 0 'sim2 is attached' ctl attach "$dir/sim2.json"
expect 0 'sim1' stats list
expect 0 'shm  primary  waiting' stats show sim1
expect 1 'no guest nobody' stats show nobody
expect 2 'missing after show' ctl show
expect 2 '--force does not go with show' ctl show sim1 --force
# What is shown below the table is a file that is good, and says what the guest was attached with.
stats show sim1 | sed -n '/^{/,$p' >"$dir/shown/sim1.json"
expect 0 'sim1.json: good' "$IOEMUD" -c "$dir/ioemud.json" --check "$dir/shown/sim1.json"
expect 0 '"size": 1048576' cat "$dir/shown/sim1.json"
expect 0 '"config":{"hypervisor":"shm"' stats --json show sim1
expect 0 'hda   (memory)' ctl list
expect 0 '0 e1000' ctl list
expect 0 '"name":"sim2"' ctl --json list
expect 1 'guest sim2 is not stopped' ctl resume sim2
expect 1 'no guest nobody' ctl resume nobody
expect 2 'missing after resume' ctl resume
expect 1 'no guest sim1' ctl detach sim1 --domid 7 # it is no domain's
expect 1 'no guest 7' ctl stats 7
expect 2 '--domid does not go with list' ctl list --domid 7
expect 2 '--domid does not go with stats' ctl stats --domid 7
printf '%4096s' "" >"$dir/a.iso"
echo '{ "hypervisor": "shm", "disks": [ { "vdev": "hdc", "type": "cdrom" } ] }' >"$dir/cd.json"
expect 0 'cd is attached' ctl attach "$dir/cd.json"
expect 0 'hdc cd  (empty)' ctl list
expect 1 'guest cd is not running' ctl eject cd hdc # it waits for its peer
expect 1 'no guest nobody' ctl insert nobody hdc "$dir/a.iso"
expect 2 'an argument is missing after eject' ctl eject cd
expect 2 'an argument is missing after insert' ctl insert cd hdc
expect 1 'there is no method eject here' stats eject cd hdc
expect 0 'cd is detached' ctl detach cd
expect 1 'no guest nobody' stats stats nobody
expect 0 'sim1   waiting' stats top -b -n 2 -i 0.1
[ "$(stats top -n 3 -i 0.1 | grep -c '^GUEST ')" = 3 ] || { echo "not ok: three looks"; failed=1; }
expect 0 '{"sequence":' stats top --json -n 1 -i 0.1 # on a busy machine not the first one
expect 0 'sim2' stats top sim2 -n 1 -i 0.1
[ "$(stats top sim2 -n 1 -i 0.1 | grep -c sim1)" = 0 ] || { echo "not ok: sim2 alone"; failed=1; }
expect 1 'no guest nobody' stats top nobody -n 1
expect 0 "LATENCY'S COURSE" screen xterm n q
expect 0 'latency, reversed' screen xterm lR q
expect 0 'sim2' screen xterm $'\e[B\e[A' q
expect 1 'cannot show it (TERM=nothing)' screen nothing
expect 1 'there is no method attach here' stats attach sim1
expect 0 'sim2 is detached' ctl detach sim2
expect 1 'no guest sim2' ctl detach sim2
expect 1 'does not run yet' ctl link sim1 0 up
expect 1 'no guest nobody' ctl nic-remove nobody 0
expect 1 'object with a "devid"' ctl nic-add sim1 '{}'
expect 1 'at /modle: "modle" is not known' ctl nic-add sim1 '{ "devid": 1, "modle": "e1000" }'
expect 1 'the guest does not run' ctl trace sim1
expect 1 'no guest nobody' ctl trace nobody
expect 1 'there is no method reload here' stats reload
expect 0 'info' ctl log-level
expect 0 'debug' ctl log-level debug
expect 0 'sim1: err' ctl log-level sim1 err
expect 0 '{"level":"debug","guests":[{"name":"sim1","domid":0,"level":"err"}]}' ctl -j log-level
expect 1 'is none: emerg, alert' ctl log-level loud
expect 1 'no guest nobody' ctl log-level nobody err
# What is wrong is told with its place, and nothing changes; then with the rest, item by item.
expect 0 'not good: '"$dir/guests.d/bad.json:1:45: at /disks/0/vdev" ctl list
expect 1 "nothing is changed: $dir/guests.d/bad.json:1:45: at /disks/0/vdev" ctl reload
rm "$dir/guests.d/bad.json" "$dir/guests.d/half.json"
sed -i 's/"workers": 1,/"workers": 2, "poll_us": 0,/' "$dir/ioemud.json"
sed -i 's/"disks"/"budget": 7, "disks"/' "$dir/guests.d/sim1.json"
expect 0 "$dir/ioemud.json: /workers: 1 -> 2: needs a restart of the daemon" ctl reload
expect 0 "$dir/ioemud.json: /workers: 1 -> 2: needs a restart of the daemon" ctl reload
sed -i 's/"workers": 2,/"workers": 1,/; s/"poll_us": 0/"poll_us": 5/' "$dir/ioemud.json"
expect 0 "$dir/ioemud.json: /poll_us: 0 -> 5: applied" ctl reload
expect 0 'nothing has changed' ctl reload
expect 0 '{"applied":0,"pending":0,"failed":0,"items":[]}' ctl -j reload
sed -i 's/"budget": 7/"budget": 8/' "$dir/guests.d/sim1.json"
expect 0 "$dir/guests.d/sim1.json: /budget: 7 -> 8: applied" ctl reload
expect 1 'insist with --force' ctl shutdown
expect 0 'the daemon has ended' ctl shutdown --force
wait $pid || { echo "not ok: the daemon's status was $?"; failed=1; }
pid=
expect 3 'is the daemon running?' ctl list
[ $failed = 0 ] || sed 's/^/    log: /' "$dir/log"
exit $failed
