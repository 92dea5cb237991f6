/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What NICs need opened: interfaces, sockets, ROMs, captures. And the socket for HTTP. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/opener.h"
#include "daemon/usernet.h"
#include "devices/backend/nets.h"

static int failed(char *why, const char *what, const char *which)
{
    int err = errno;

    snprintf(why, OPENER_WHY_SIZE, "%s %s: %s", what, which, strerror(err));
    return -err;
}

/* ---- tap and macvtap ------------------------------------------------------------------------- */

static int set_flags_up(int control, const char *ifname)
{
    struct ifreq ifr = {0};

    memcpy(ifr.ifr_name, ifname, IFNAMSIZ);
    if (ioctl(control, SIOCGIFFLAGS, &ifr))
        return -errno;
    ifr.ifr_flags |= IFF_UP;
    return ioctl(control, SIOCSIFFLAGS, &ifr) ? -errno : 0;
}

/* As Xen's vif-bridge does it: the bridge's MTU, and an address that never becomes the bridge's. */
static int join_bridge(int control, const char *ifname, const char *bridge, char *why)
{
    struct ifreq port = {0}, ifr = {0};

    memcpy(port.ifr_name, ifname, IFNAMSIZ);
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
    port.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(port.ifr_hwaddr.sa_data, "\xfe\xff\xff\xff\xff\xff", 6);
    if (ioctl(control, SIOCSIFHWADDR, &port))
        return failed(why, "address of interface", ifname);
    if (ioctl(control, SIOCGIFMTU, &ifr))
        return failed(why, "bridge", bridge);
    port.ifr_mtu = ifr.ifr_mtu;
    if (ioctl(control, SIOCSIFMTU, &port))
        return failed(why, "MTU of interface", ifname);
    ifr.ifr_ifindex = (int)if_nametoindex(ifname);
    if (ioctl(control, SIOCBRADDIF, &ifr))
        return failed(why, "bridge", bridge);
    return set_flags_up(control, ifname) ? failed(why, "interface", ifname) : 0;
}

static int configure_tap(const struct nic_config *nic, const char *ifname, char *why)
{
    int control, err;

    if (!nic->bridge[0])
        return 0;
    control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* netdevice(7): any will do */
    if (control < 0)
        return failed(why, "interface", ifname);
    err = join_bridge(control, ifname, nic->bridge, why);
    close(control);
    return err;
}

int opener_tap(const struct nic_config *nic, int *ret_fd, char ret_ifname[16], char *ret_why)
{
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)};
    int size = NET_TAP_HEADER, fd, err;

    memcpy(ifr.ifr_name, nic->ifname, sizeof(nic->ifname));
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return failed(ret_why, "interface", "/dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size)) {
        err = failed(ret_why, "tap interface", nic->ifname);
        goto close_fd;
    }
    err = configure_tap(nic, ifr.ifr_name, ret_why);
    if (err)
        goto close_fd;
    snprintf(ret_ifname, 16, "%s", ifr.ifr_name);
    *ret_fd = fd;
    return 0;

close_fd:
    close(fd);
    return err;
}

/* It passes on what is for its own address: the guest's. */
static int configure_macvtap(const char *ifname, const uint8_t mac[6], char *why)
{
    struct ifreq ifr = {0};
    int control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

    if (control < 0)
        return failed(why, "interface", ifname);
    memcpy(ifr.ifr_name, ifname, IFNAMSIZ);
    if (ioctl(control, SIOCGIFHWADDR, &ifr) ||
        (memcmp(ifr.ifr_hwaddr.sa_data, mac, 6) &&
         (memcpy(ifr.ifr_hwaddr.sa_data, mac, 6), ioctl(control, SIOCSIFHWADDR, &ifr))))
        err = failed(why, "address of interface", ifname);
    else if (set_flags_up(control, ifname))
        err = failed(why, "interface", ifname);
    close(control);
    return err;
}

int opener_macvtap(const struct nic_config *nic, const uint8_t mac[6], int *ret_fd, char *ret_why)
{
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)};
    unsigned index = if_nametoindex(nic->ifname);
    int size = NET_TAP_HEADER, fd, err;
    char path[32];

    if (!index)
        return failed(ret_why, "interface", nic->ifname);
    err = configure_macvtap(nic->ifname, mac, ret_why);
    if (err)
        return err;
    snprintf(path, sizeof(path), "/dev/tap%u", index);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        snprintf(ret_why, OPENER_WHY_SIZE, "interface %s is no macvtap interface: there is no %s",
                 nic->ifname, path);
        return -ENOENT;
    }
    if (fd < 0)
        return failed(ret_why, "interface", path);
    memcpy(ifr.ifr_name, nic->ifname, sizeof(nic->ifname));
    if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size)) {
        err = failed(ret_why, "interface", nic->ifname);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1); /* CONFIG_SOCKET_MAX at most */
    return address;
}

int opener_connect(const char *path, int *ret_fd, char *ret_why)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

    if (fd < 0)
        return failed(ret_why, "socket", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        err = failed(ret_why, "socket", path);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Its length, 0: it has hung up, or -errno. */
static ssize_t await_answer(int fd, char *text, size_t size)
{
    const uint64_t deadline = now_ms() + OPENER_USERNET_MS;
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    for (uint64_t now = now_ms(); now < deadline; now = now_ms()) {
        ssize_t n;

        if (poll(&readable, 1, (int)(deadline - now)) <= 0)
            continue; /* a signal, or the end of it */
        n = recv(fd, text, size, MSG_DONTWAIT);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n < 0 ? -errno : n;
    }
    return -ETIMEDOUT;
}

static int ask_for_network(int fd, const char *path, const char *network, char *why)
{
    char text[USERNET_ANSWER_MAX];
    ssize_t n = send(fd, network, strlen(network), MSG_DONTWAIT | MSG_NOSIGNAL);
    int err;

    if (n >= 0)
        n = await_answer(fd, text, sizeof(text));
    else
        n = -errno;
    if (n > 0) {
        char said[OPENER_WHY_SIZE - 32];

        err = usernet_read_answer(text, (size_t)n, said, sizeof(said));
        if (err == -ECONNREFUSED)
            snprintf(why, OPENER_WHY_SIZE, "user network: %s", said);
        else if (err)
            snprintf(why, OPENER_WHY_SIZE, "user network: what listens at %s is no ioemud-usernet",
                     path);
        return err;
    }
    if (n == 0 || n == -EPIPE || n == -ECONNRESET) {
        snprintf(why, OPENER_WHY_SIZE,
                 "user network: %s hangs up: as many as MaxConnections= of ioemud-usernet.socket "
                 "are there, or journalctl -u 'ioemud-usernet@*' says why",
                 path);
        return -ECONNRESET;
    }
    snprintf(why, OPENER_WHY_SIZE,
             "user network: %s has no answer in %u s (%s): journalctl -u 'ioemud-usernet@*'", path,
             OPENER_USERNET_MS / 1000, strerror((int)-n));
    return (int)n;
}

int opener_user_network(const char *path, const char *network, int *ret_fd, char *ret_why)
{
    const struct timeval patience = {.tv_sec = OPENER_USERNET_MS / 1000};
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return failed(ret_why, "user network", path);
    /* connect(2) waits while the listener's queue is full. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
        connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        err = failed(ret_why, "user network", path);
        if (err == -ENOENT || err == -ECONNREFUSED)
            snprintf(ret_why, OPENER_WHY_SIZE,
                     "user network: nobody listens at %s: systemctl start ioemud-usernet.socket, "
                     "or ioemud-usernet --listen with that path",
                     path);
        goto close_fd;
    }
    err = ask_for_network(fd, path, network, ret_why);
    if (!err && fcntl(fd, F_SETFL, O_NONBLOCK))
        err = failed(ret_why, "user network", path);
    if (err)
        goto close_fd;
    *ret_fd = fd;
    return 0;

close_fd:
    close(fd);
    return err;
}

int opener_dgram(const char *path, int *ret_fd, char *ret_why)
{
    struct sockaddr_un address = address_of(path);
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
    mode_t old_umask;
    struct stat st;

    if (fd < 0 || probe < 0) {
        err = failed(ret_why, "socket", path);
        goto close_probe;
    }
    /* One that nobody reads any more is left over; what is no socket refuses in the same way. */
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode) &&
        connect(probe, (struct sockaddr *)&address, sizeof(address)) && errno == ECONNREFUSED)
        unlink(path);
    old_umask = umask(0177);
    err = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? failed(ret_why, "socket", path)
                                                                 : 0;
    umask(old_umask);
    if (!err) {
        *ret_fd = fd;
        fd = -1;
    }

close_probe:
    if (probe >= 0)
        close(probe);
    if (fd >= 0)
        close(fd);
    return err;
}

/* VDE's switch: a request over DIR/ctl with the address of the port's own socket is answered with
 * that of the switch's; the connection stays as long as the port is plugged in. */
#define VDE_MAGIC   0xfeedfaceu
#define VDE_VERSION 3u
#define VDE_NEW     0u

struct vde_request {
    uint32_t magic, version, type;
    struct sockaddr_un own;
    char description[128];
} __attribute__((packed));

static int vde_ask(int control, const struct sockaddr_un *own, struct sockaddr_un *ret_switch)
{
    struct vde_request request = {
        .magic = VDE_MAGIC, .version = VDE_VERSION, .type = VDE_NEW, .own = *own};
    const struct timeval patience = {.tv_sec = 2};

    snprintf(request.description, sizeof(request.description), "ioemud");
    if (setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
        send(control, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
        return -errno;
    ssize_t n = recv(control, ret_switch, sizeof(*ret_switch), MSG_WAITALL);

    if (n != (ssize_t)sizeof(*ret_switch))
        return n < 0 ? -errno : -EPROTO;
    return ret_switch->sun_family == AF_UNIX ? 0 : -EPROTO;
}

int opener_vde(const char *directory, const char *own_path, int *ret_fd, int *ret_keep_fd,
               char *ret_why)
{
    struct sockaddr_un own = address_of(own_path), other;
    struct sockaddr_un control_address = {.sun_family = AF_UNIX};
    int control, fd, err;

    if (snprintf(control_address.sun_path, sizeof(control_address.sun_path), "%s/ctl", directory) >=
        (int)sizeof(control_address.sun_path)) {
        snprintf(ret_why, OPENER_WHY_SIZE, "switch %s: the path is too long", directory);
        return -ENAMETOOLONG;
    }
    err = opener_dgram(own_path, &fd, ret_why);
    if (err)
        return err;
    control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (control < 0 ||
        connect(control, (struct sockaddr *)&control_address, sizeof(control_address))) {
        err = failed(ret_why, "switch", control_address.sun_path);
        goto close_both;
    }
    err = vde_ask(control, &own, &other);
    if (!err && connect(fd, (struct sockaddr *)&other, sizeof(other)))
        err = -errno;
    if (err) {
        snprintf(ret_why, OPENER_WHY_SIZE, "switch %s: %s", directory, strerror(-err));
        goto close_both;
    }
    *ret_fd = fd;
    *ret_keep_fd = control;
    return 0;

close_both:
    if (control >= 0)
        close(control);
    close(fd);
    unlink(own_path);
    return err;
}

/* ---- ROMs and captures ----------------------------------------------------------------------- */

int opener_rom(const char *path, uint8_t **ret_data, uint32_t *ret_bytes, char *ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
    uint8_t *data = NULL;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0)
        return failed(ret_why, "ROM", path);
    if (fstat(fd, &st)) {
        err = failed(ret_why, "ROM", path);
    } else if (!S_ISREG(st.st_mode) || st.st_size < 512 || st.st_size > OPENER_ROM_MAX) {
        snprintf(ret_why, OPENER_WHY_SIZE, "ROM %s: a file of 512 bytes to %u KiB is expected",
                 path, OPENER_ROM_MAX >> 10);
        err = -EINVAL;
    } else if (!(data = malloc((size_t)st.st_size))) {
        snprintf(ret_why, OPENER_WHY_SIZE, "ROM %s: out of memory", path);
        err = -ENOMEM;
    }
    if (!err) {
        n = read(fd, data, (size_t)st.st_size);
        if (n < 0)
            err = failed(ret_why, "ROM", path);
    }
    /* PCI firmware 3.0, 5.1.1: what every expansion ROM begins with. */
    if (!err && (n < 512 || data[0] != 0x55 || data[1] != 0xaa)) {
        snprintf(ret_why, OPENER_WHY_SIZE, "ROM %s: this is no expansion ROM (55 aa first)", path);
        err = -EINVAL;
    }
    close(fd);
    if (err) {
        free(data);
        return err;
    }
    *ret_data = data;
    *ret_bytes = (uint32_t)n;
    return 0;
}

int opener_capture(const char *path, int *ret_fd, char *ret_why)
{
    /* Not through a link, and not over what is there: whoever asks is root. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        int err = failed(ret_why, "capture", path);

        opener_hint(path, err, ret_why);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

int opener_http(const struct http_config *http, int *ret_fd, char *ret_why)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } addr = {0};
    const int on = 1;
    char where[32];
    int fd, err;

    snprintf(where, sizeof(where), "port %u", http->port);
    if (http->ipv6) {
        addr.ipv6.sin6_family = AF_INET6;
        addr.ipv6.sin6_port = htons((uint16_t)http->port);
        addr.ipv6.sin6_addr = in6addr_loopback;
    } else {
        addr.ipv4.sin_family = AF_INET;
        addr.ipv4.sin_port = htons((uint16_t)http->port);
        addr.ipv4.sin_addr.s_addr = htonl(http->ipv4);
    }
    fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 && errno == EAFNOSUPPORT) {
        snprintf(ret_why, OPENER_WHY_SIZE,
                 "HTTP %s: the unit lets the daemon have no such sockets: metrics.conf of the "
                 "examples, in /etc/systemd/system/ioemud.service.d, changes that",
                 where);
        return -EAFNOSUPPORT;
    }
    if (fd < 0)
        return failed(ret_why, "HTTP", where);
    /* Connections of a daemon that has ended linger for a minute. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(fd, &addr.any, http->ipv6 ? sizeof(addr.ipv6) : sizeof(addr.ipv4)) || listen(fd, 16)) {
        err = failed(ret_why, "HTTP", where);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}
