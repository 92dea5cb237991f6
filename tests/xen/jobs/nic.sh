# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What jobs about network cards have besides lib.sh: a bridge with dom0 on it, servers, and vifs. Addresses of
# cards are 00:16:3e:77:00:NN, as guests/nic/scenarios knows them; dom0 is 10.77.0.1.

BRIDGE=xenbr0 PORT=7000
SERVED=$CONFIGS/nettest.out

# network: the bridge. It takes jumbo frames, learns at once, and floods what is for groups; IPv6's own
# packets would only be in the way of those that are counted. VLAN 5 is 10.77.5.1.
network()
{
    ip link add $BRIDGE type bridge forward_delay 0 mcast_snooping 0 || return
    # Set when it is there, it stays; else the ports' smallest counts, and a vif's is 1500.
    ip link set $BRIDGE mtu 9000
    echo 1 >/proc/sys/net/ipv6/conf/$BRIDGE/disable_ipv6
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
    ip address add 10.77.0.1/24 dev $BRIDGE
    ip link set $BRIDGE up
}
vlan()
{
    modprobe 8021q
    ip link add link $BRIDGE name $BRIDGE.5 mtu 1500 type vlan id 5 || return
    ip address add 10.77.5.1/24 dev $BRIDGE.5
    ip link set $BRIDGE.5 up
}

# dhcp [LINE...]: dnsmasq gives addresses from 10.77.0.100 on and the files of $CONFIGS/tftp, and says so in
# $CONFIGS/dnsmasq.log; LINEs of its configuration.
dhcp()
{
    mkdir -p $CONFIGS/tftp
    {
        printf '%s\n' port=0 interface=$BRIDGE bind-interfaces user=root pid-file=$CONFIGS/dnsmasq.pid \
            dhcp-range=10.77.0.100,10.77.0.199,1h dhcp-authoritative no-ping \
            dhcp-leasefile=$CONFIGS/leases log-facility=$CONFIGS/dnsmasq.log \
            enable-tftp tftp-root=$CONFIGS/tftp
        [ $# = 0 ] || printf '%s\n' "$@"
    } >$CONFIGS/dnsmasq.conf
    dnsmasq -C $CONFIGS/dnsmasq.conf
}

# serve [NAME...]: nettest, which counts what the processes of these names take.
serve()
{
    /lab/nic/nettest serve $PORT "$@" >"$SERVED" 2>&1 &
    servers+=($!)
    wait_for 10 says "$SERVED" serves
}

# However the job ends, the next one finds nothing of it.
servers=()
network_end()
{
    [ ! -e $CONFIGS/dnsmasq.pid ] || servers+=("$(cat $CONFIGS/dnsmasq.pid)")
    [ ${#servers[@]} = 0 ] || kill "${servers[@]}"
    ip link delete $BRIDGE
} 2>/dev/null
trap network_end EXIT

# vif MODEL NN [MORE]: an element of vif=[ ].
vif() { printf '"model=%s,mac=00:16:3e:77:00:%s,bridge=%s%s"' "$1" "$2" $BRIDGE "${3:+,$3}"; }

# transfer ADDRESS put|get FIELD: of the last such transfer of that guest's card that was right.
transfer() { sed -n "s/^did $2 ${1//./\\.} right .*\\b$3=\\([0-9]*\\).*/\\1/p" "$SERVED" | tail -n 1; }
