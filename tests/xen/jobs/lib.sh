# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What jobs are written with: ". /lab/lib.sh". A job reports lines "ok NAME", "not ok NAME - WHY"
# and "skip NAME - WHY", and ends with `finish`, whose status says whether all was well.

IOEMU_DM=/usr/libexec/ioemud/ioemu-dm
CONFIGS=/lab/run
mkdir -p $CONFIGS
lab_passed=0 lab_failed=0 lab_skipped=0

ok() { lab_passed=$((lab_passed + 1)); echo "ok $1"; }
not_ok() { lab_failed=$((lab_failed + 1)); echo "not ok $1 - ${2:-failed}"; }
skip() { lab_skipped=$((lab_skipped + 1)); echo "skip $1 - $2"; }
note() { echo "# $*"; }

# judge NAME STATUS [WHY]
judge() { if [ "$2" = 0 ]; then ok "$1"; else not_ok "$1" "${3:-status $2}"; fi; }

# check NAME COMMAND...: ok when the command succeeds; else its last line of output is the reason.
check()
{
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$(tail -n 1 <<<"$output")"; fi
}

finish()
{
    note "passed $lab_passed, failed $lab_failed, skipped $lab_skipped"
    [ $lab_failed = 0 ]
    exit
}

# A process costs tens of emulated milliseconds here, so waiting must not start any.
exec 9<> <(:)
nap() { read -r -t "$1" -u 9 || :; }

# says FILE WORDS: whether the file has them, without starting a process.
says()
{
    local text
    IFS= read -r -d '' text <"$1"
    [[ $text == *"$2"* ]]
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        nap 0.3
    done
}

domid() { xl domid "$1" 2>/dev/null; }
# gone NAME: true when the xl that watches over this guest has ended, as it does with the guest.
gone()
{
    local line pid=
    while read -r line; do
        case $line in *"[pid "*) pid=${line##*\[pid } ;; esac
    done <"/var/log/xen/xl-$1.log"
    [ -n "$pid" ] && [ ! -e "/proc/${pid%]}" ]
}
only_dom0() { [ "$(xl list | wc -l)" = 2 ]; }

# model_line qemu|ioemu: the configuration line that chooses the device model.
model_line()
{
    [ "$1" = qemu ] || printf 'device_model_version="qemu-xen"\ndevice_model_override="%s"\n' $IOEMU_DM
}

# tiny_config NAME qemu|ioemu ELF DISK [LINE...]: prints the path of a configuration. DISK may be
# empty.
tiny_config()
{
    local file=$CONFIGS/$1.cfg name=$1 model=$2 elf=$3 disk=$4
    shift 4
    {
        echo "name=\"$name\""
        echo 'type="hvm"'
        echo "firmware_override=\"$elf\""
        echo 'memory=32'
        echo 'vcpus=1'
        echo 'vga="none"'
        echo 'vnc=0'
        echo 'usb=0'
        echo 'on_poweroff="destroy"'
        echo 'on_reboot="destroy"'
        echo 'on_crash="destroy"'
        echo "disk=[${disk:+\"format=raw,vdev=hda,target=$disk\"}]"
        model_line "$model"
        printf '%s\n' "$@"
    } >"$file"
    echo "$file"
}

# guest_says ID: what a tiny guest printed.
guest_says() { xl dmesg | sed -n "s/^(d$1) //p"; }

# run_tiny PREFIX CONFIG [SECONDS]: creates a tiny guest, waits for its end, and passes its results
# on, their names prefixed. Leaves what it printed in $CONFIGS/PREFIX.out.
run_tiny()
{
    local prefix=$1 config=$2 limit=${3:-60} id began=$SECONDS name line out
    name=$(sed -n 's/^name="\(.*\)"/\1/p' "$config")
    out=$CONFIGS/${prefix//\//-}.out
    if ! xl create -q "$config" >"$out.create" 2>&1; then
        not_ok "$prefix/created" "$(head -n 1 "$out.create")"
        return 1
    fi
    id=$(domid "$name")
    if [ -z "$id" ]; then # it may have ended already
        id=$(xl dmesg | sed -n 's/^(d\([0-9]*\)) done .*/\1/p' | tail -n 1)
    elif ! wait_for "$limit" gone "$name"; then
        not_ok "$prefix/ended" "still there after $limit s"
        xl destroy "$name"
    fi
    guest_says "$id" >"$out"
    while read -r line; do
        case $line in
        "ok "*) ok "$prefix/${line#ok }" ;;
        "not ok "*)
            line=${line#not ok }
            not_ok "$prefix/${line%% - *}" "${line#* - }"
            ;;
        esac
    done <"$out"
    if grep -q '^done ' "$out"; then
        note "$prefix took $((SECONDS - began)) s"
    else
        not_ok "$prefix/done" "the guest said nothing at its end"
    fi
}

# Linux guests. The image of guests/mklinux, or where a job says so of another that linux/make made;
# its root partition as the e2fsprogs name it.
linux_dir=/lab/linux
linux_root() { echo "$1?offset=$(cat "$linux_dir/root-offset")"; }

# linux_disk NAME [SCENARIO]: prints the path of a fresh disk that does SCENARIO.
linux_disk()
{
    local image=$CONFIGS/$1.img
    cp --sparse=always "$linux_dir/linux.img" "$image"
    if [ -n "${2:-}" ]; then
        echo "$2" >"$CONFIGS/$1.scenario"
        debugfs -w -R "write $CONFIGS/$1.scenario /scenario" "$(linux_root "$image")" 2>/dev/null >&2
    fi
    echo "$image"
}

# linux_config NAME qemu|ioemu DISK [LINE...]: prints the path of a configuration. What the guest
# says on its serial port goes to $CONFIGS/NAME.serial.
linux_config()
{
    local file=$CONFIGS/$1.cfg name=$1 model=$2 disk=$3
    shift 3
    {
        echo "name=\"$name\""
        echo 'type="hvm"'
        echo 'memory=160'
        echo 'vcpus=1'
        echo 'vga="none"'
        echo 'vnc=0'
        echo 'usb=0'
        echo 'boot="c"'
        echo 'on_poweroff="destroy"'
        echo 'on_reboot="restart"'
        echo 'on_crash="destroy"'
        echo "serial=\"file:$CONFIGS/$name.serial\""
        echo "disk=[${disk:+\"format=raw,vdev=hda,target=$disk\"}]"
        model_line "$model"
        printf '%s\n' "$@"
    } >"$file"
    : >"$CONFIGS/$name.serial"
    echo "$file"
}

# create PREFIX CONFIG
create()
{
    if ! xl create -q "$2" >"$CONFIGS/$1.create" 2>&1; then
        not_ok "$1/created" "$(head -n 1 "$CONFIGS/$1.create")"
        return 1
    fi
}

# last_boot FILE: what the guest said since it came up last.
last_boot() { tr -d '\r' <"$1" | awk '/^GUEST up/ { text = "" } { text = text $0 "\n" } END { printf "%s", text }'; }

# triple_faults: how many guests died of one. Under QEMU 7.2's emulated SVM, on a busy machine, a guest's
# saved state at times holds the hypervisor's own registers (README.md), and the guest starts anew.
triple_faults()
{
    local count
    count=$(xl dmesg | grep -c 'Triple fault')
    [ "$count" = 0 ] || skip "$1/no-triple-fault" "$count; see README.md about the emulator"
}

# passes on what the guest's serial port said since it came up, with names prefixed
serial_results()
{
    local prefix=$1 line
    while read -r line; do
        line=${line%$'\r'}
        case $line in
        "GUEST ok "*) ok "$prefix/${line#GUEST ok }" ;;
        "GUEST not ok "*) not_ok "$prefix/${line#GUEST not ok }" ;;
        "GUEST "*) note "$prefix: ${line#GUEST }" ;;
        esac
    done < <(last_boot "$2")
}

# linux_judge PREFIX NAME DISK SECONDS [ENDING]: waits for the guest to end, passes on its results,
# and judges what it left on its disk.
linux_judge()
{
    local prefix=$1 name=$2 disk=$3 limit=$4 ending=${5:-poweroff} root wanted found
    root=$(linux_root "$disk")
    if ! wait_for "$limit" gone "$name"; then
        not_ok "$prefix/powered-off" "still there after $limit s"
        xl vcpu-list | sed 's/^/#   /'
        ioemuctl stats "$name" 2>/dev/null | sed 's/^/#   /'
        xl destroy "$name"
    fi
    serial_results "$prefix" "$CONFIGS/$name.serial"
    tr -d '\r' <"$CONFIGS/$name.serial" | grep -q "^GUEST end $ending"
    judge "$prefix/came-to-its-end" $? "last said: $(tail -n 1 "$CONFIGS/$name.serial")"
    check "$prefix/e2fsck-clean" e2fsck -fn "$root"
    wanted=$(debugfs -R 'cat /data/data.md5' "$root" 2>/dev/null | cut -d' ' -f1)
    found=$(debugfs -R 'cat /data/data' "$root" 2>/dev/null | md5sum | cut -d' ' -f1)
    [ -n "$wanted" ] && [ "$wanted" = "$found" ]
    judge "$prefix/checksum-holds-outside" $? "wanted $wanted, found $found"
}

# The daemon.
daemon_pid() { systemctl show -P MainPID ioemud; }
daemon_start()
{
    systemctl start ioemud && return
    not_ok daemon-starts "$(journalctl -u ioemud -n 1 -o cat --no-pager)"
    finish
}
# worker_pid GUEST: of its worker process; "" with threads. daemon_processes: the daemon and its worker processes.
worker_pid()
{
    ioemuctl -j stats | jq -r --arg name "$1" '(.guests[] | select(.name == $name) | .worker) as $id |
        .daemon.workers[] | select(.id == $id) | .pid // empty'
}
daemon_processes() { daemon_pid; ioemuctl -j stats | jq -r '.daemon.workers[].pid // empty'; }
# gntdev_mappings: what these have mapped of guests' grants.
gntdev_mappings()
{
    local pid
    for pid in $(daemon_processes); do cat "/proc/$pid/maps"; done 2>/dev/null | grep -c ' /dev/xen/gntdev'
}
# daemon_start_with JSON: one with this ioemud.json, in place of any that runs. daemon_as_before undoes it. What
# serves guests is the default, or as the JSON says, or as the file /lab/isolation does ("thread", "process").
threads_conf=/etc/systemd/system/ioemud.service.d/threads.conf
daemon_start_with()
{
    ioemuctl shutdown --force >/dev/null 2>&1 && wait_for 20 daemon_down
    mv /etc/ioemud/ioemud.json $CONFIGS/kept.json 2>/dev/null
    if [ -f /lab/isolation ]; then
        jq --arg how "$(cat /lab/isolation)" '{ isolation: $how } + .' <<<"$1" >/etc/ioemud/ioemud.json
    else
        echo "$1" >/etc/ioemud/ioemud.json
    fi
    if grep -q '"isolation": "thread"' /etc/ioemud/ioemud.json; then
        mkdir -p "${threads_conf%/*}"
        cp /usr/share/doc/ioemud/examples/ioemud.service.d/threads.conf $threads_conf
        systemctl daemon-reload
    fi
    daemon_start
}
daemon_as_before()
{
    ioemuctl shutdown --force >/dev/null 2>&1 && wait_for 20 daemon_down
    rm -f /etc/ioemud/ioemud.json $threads_conf
    systemctl daemon-reload
    mv $CONFIGS/kept.json /etc/ioemud/ioemud.json 2>/dev/null
}
daemon_active() { systemctl is-active -q ioemud; }
daemon_down() { ! daemon_active; }
# project_away: what the lab has unpacked makes way for the package; project_back undoes it.
project_away()
{
    ioemuctl shutdown --force 2>/dev/null
    wait_for 20 daemon_down
    systemctl reset-failed ioemud 2>/dev/null
    rm -rf $CONFIGS/etc-ioemud /run/ioemud
    mv /etc/ioemud $CONFIGS/etc-ioemud
    tar -tf /lab/install.tar | grep -v '/$' | sed 's,^\.,,' | tr '\n' '\0' | xargs -0 rm -f
    rm -rf /usr/libexec/ioemud /usr/share/doc/ioemud
    systemctl daemon-reload
}
project_back()
{
    tar -C / --keep-directory-symlink -xf /lab/install.tar
    rm -rf /etc/ioemud
    mv $CONFIGS/etc-ioemud /etc/ioemud
    systemctl daemon-reload
    systemctl reset-failed ioemud 2>/dev/null
}
no_qemu() { ! pgrep -f -- 'qemu-system.* -xen-domid [1-9]' >/dev/null; }
# counter GUEST JQ_PATH: a number of that guest's statistics.
counter() { ioemuctl -j stats "$1" | jq -r ".guests[0]$2"; }

# counts_agree NAME SAID: whether the statistics are what this tiny guest (tiny/count.c) counted itself, which it
# has said in the file SAID. Prints what is not, and fails if it has not counted everything.
counts_agree()
{
    local differ
    grep -q '^counted end' "$2" || { echo "it did not come to its end: $(tail -n 1 "$2")"; return 1; }
    [ "$(grep -c '^counted [a-z_/0-9]* [0-9]' "$2")" = 24 ] || { echo "it did not count everything"; return 1; }
    differ=$(ioemuctl -j stats "$1" | jq -r --rawfile said "$2" '
        (.guests[0] | . + {disk: .disks[0]}) as $has | $said | split("\n")[] |
        capture("^counted (?<path>[^ ]+) (?<count>[0-9]+)$") | (.count | tonumber) as $count | .path as $path |
        ($has | getpath($path | split("/")) // 0) as $is | select($is != $count) |
        "\($path) is \($is), the guest says \($count)"') || { echo "no statistics"; return 1; }
    [ -z "$differ" ] || { paste -sd ';' <<<"$differ"; return 1; }
}

# holdings: what the daemon holds, on one line, to be compared before and after: event channels,
# descriptors, foreign mappings, and the hypervisor's domains.
holdings()
{
    local pid
    pid=$(daemon_pid)
    echo "evtchns=$(/usr/lib/xen-4.17/bin/lsevtchn 0 | wc -l)" \
        "fds=$(ls "/proc/$pid/fd" | wc -l)" \
        "mappings=$(grep -c ' /dev/xen/privcmd' "/proc/$pid/maps")" \
        "domains=$(($(xl list | wc -l) - 1))"
}

# hypervisor_domains: ids of all that Xen still knows, dying ones too. (`xl list` has them as well,
# but not one that only a reference to its pages keeps.)
hypervisor_domains()
{
    xl debug-keys q
    xl dmesg | awk '/dumping domain info|Dumping domain info/ { list = "" }
        /General information for domain/ { sub(":", "", $NF); list = list " " $NF } END { print list }'
}
