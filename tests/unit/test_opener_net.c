/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the opener makes for NICs, in a network namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/opener.h"

static const char *why_not; /* NULL: interfaces can be made */
static char why[OPENER_WHY_SIZE], dir[32];

static void need_interfaces(void)
{
    if (why_not) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
}

static int control(unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), result = ioctl(fd, request, ifr);

    close(fd);
    return result;
}

static int bridge(unsigned long request)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), result = ioctl(fd, request, "br0");

    close(fd);
    return result;
}

static void a_tap_is_created_by_its_name(void **state)
{
    struct nic_config nic = {.ifname = "vif7.0-emu"};
    char ifname[16];
    int fd, other;

    need_interfaces();
    assert_int_equal(opener_tap(&nic, &fd, ifname, why), 0);
    assert_string_equal(ifname, "vif7.0-emu");
    assert_true(if_nametoindex("vif7.0-emu") > 0);
    assert_int_equal(opener_tap(&nic, &other, ifname, why), -EBUSY);
    assert_non_null(strstr(why, "vif7.0-emu"));
    close(fd);
    assert_int_equal(if_nametoindex("vif7.0-emu"), 0); /* it goes with its descriptor */
    nic.ifname[0] = '\0';
    assert_int_equal(opener_tap(&nic, &fd, ifname, why), 0);
    assert_string_equal(ifname, "tap0");
    close(fd);
}

static void a_tap_joins_its_bridge(void **state)
{
    struct nic_config nic = {.ifname = "t1", .bridge = "br0"};
    struct ifreq ifr = {.ifr_name = "br0", .ifr_mtu = 9000};
    char ifname[16];
    int fd;

    need_interfaces();
    assert_int_equal(opener_tap(&nic, &fd, ifname, why), -ENODEV);
    assert_non_null(strstr(why, "br0"));
    assert_int_equal(if_nametoindex("t1"), 0);
    if (bridge(SIOCBRADDBR)) {
        print_message("skipped: no bridges in this kernel\n");
        skip();
    }
    assert_int_equal(control(SIOCSIFMTU, &ifr), 0);
    assert_int_equal(opener_tap(&nic, &fd, ifname, why), 0);
    ifr = (struct ifreq){.ifr_name = "t1"};
    assert_int_equal(control(SIOCGIFMTU, &ifr), 0);
    assert_int_equal(ifr.ifr_mtu, 9000);
    assert_int_equal(control(SIOCGIFFLAGS, &ifr), 0);
    assert_true(ifr.ifr_flags & IFF_UP);
    close(fd);
    assert_int_equal(bridge(SIOCBRDELBR), 0);
}

/* The node that udev makes on a host. */
static bool make_node(const char *ifname, char path[32])
{
    char name[96];
    unsigned major_number, minor_number, index = if_nametoindex(ifname);
    FILE *file;
    bool made = false;

    if (!index || mount("sysfs", dir, "sysfs", 0, NULL))
        return false;
    snprintf(name, sizeof(name), "%s/class/net/%s/tap%u/dev", dir, ifname, index);
    file = fopen(name, "r");
    snprintf(path, 32, "/dev/tap%u", index);
    if (file && fscanf(file, "%u:%u", &major_number, &minor_number) == 2) {
        unlink(path);
        made = !mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number));
    }
    if (file)
        fclose(file);
    umount(dir);
    return made;
}

static void a_macvtap_gets_the_guests_address(void **state)
{
    struct nic_config nic = {.ifname = "mv0"};
    const uint8_t mac[6] = {0, 0x16, 0x3e, 4, 5, 6};
    struct ifreq ifr = {.ifr_name = "mv0"};
    char path[32];
    int fd;

    need_interfaces();
    if (system("ip link add br0 type bridge 2>/dev/null && ip link add link br0 name mv0 type "
               "macvtap mode bridge 2>/dev/null") ||
        !make_node("mv0", path)) {
        (void)!system("ip link del br0 2>/dev/null");
        print_message("skipped: no macvtap interfaces can be made here\n");
        skip();
    }
    assert_int_equal(opener_macvtap(&nic, mac, &fd, why), 0);
    assert_int_equal(control(SIOCGIFHWADDR, &ifr), 0);
    assert_memory_equal(ifr.ifr_hwaddr.sa_data, mac, 6);
    close(fd);
    unlink(path);
    assert_int_equal(opener_macvtap(&nic, mac, &fd, why), -ENOENT);
    assert_non_null(strstr(why, "no macvtap interface"));
    assert_int_equal(system("ip link del br0"), 0);
}

static void an_interface_that_is_none_is_named(void **state)
{
    struct nic_config nic = {.ifname = "lo"};
    const uint8_t mac[6] = {0, 0x16, 0x3e, 0, 0, 1};
    int fd;

    assert_true(opener_macvtap(&nic, mac, &fd, why) < 0);
    assert_non_null(strstr(why, "lo"));
    snprintf(nic.ifname, sizeof(nic.ifname), "nothere0");
    assert_int_equal(opener_macvtap(&nic, mac, &fd, why), -ENODEV);
    assert_non_null(strstr(why, "nothere0"));
}

static void a_stale_datagram_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    char path[64];
    int fd, again;

    snprintf(path, sizeof(path), "%s/d", dir);
    assert_int_equal(opener_dgram(path, &fd, why), 0);
    assert_int_equal(opener_dgram(path, &again, why), -EADDRINUSE);
    assert_non_null(strstr(why, path));
    close(fd);
    assert_int_equal(opener_dgram(path, &fd, why), 0);
    close(fd);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* a file of somebody's stays */
    assert_int_equal(opener_dgram(path, &fd, why), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
}

/* A switch, in as far as its side of plugging in goes. */
struct vde_switch {
    int listener, data;
    struct sockaddr_un address;
    unsigned char request[12 + sizeof(struct sockaddr_un) + 128];
};

static void *run_switch(void *arg)
{
    struct vde_switch *vde = arg;
    int fd = accept(vde->listener, NULL, NULL);

    if (recv(fd, vde->request, sizeof(vde->request), MSG_WAITALL) == sizeof(vde->request))
        (void)!write(fd, &vde->address, sizeof(vde->address));
    return (void *)(intptr_t)fd;
}

static void a_port_of_a_switch_is_plugged_in(void **state)
{
    struct vde_switch vde = {.address = {.sun_family = AF_UNIX}};
    struct sockaddr_un own;
    char path[64], ctl[64], own_path[64], text[8] = "";
    pthread_t thread;
    void *connection;
    int fd, keep_fd;

    snprintf(path, sizeof(path), "%s/data", dir);
    snprintf(ctl, sizeof(ctl), "%s/ctl", dir);
    snprintf(own_path, sizeof(own_path), "%s/own", dir);
    assert_int_equal(opener_vde(dir, own_path, &fd, &keep_fd, why), -ENOENT);
    assert_non_null(strstr(why, "/ctl"));
    assert_int_not_equal(access(own_path, F_OK), 0);

    assert_int_equal(opener_listen(ctl, SOCK_STREAM, 0600, "", &vde.listener, why), 0);
    fcntl(vde.listener, F_SETFL, 0);
    assert_int_equal(opener_dgram(path, &vde.data, why), 0);
    snprintf(vde.address.sun_path, sizeof(vde.address.sun_path), "%s", path);
    assert_int_equal(pthread_create(&thread, NULL, run_switch, &vde), 0);
    assert_int_equal(opener_vde(dir, own_path, &fd, &keep_fd, why), 0);
    pthread_join(thread, &connection);
    assert_memory_equal(vde.request, "\xce\xfa\xed\xfe\x03\0\0\0\0\0\0\0", 12);
    memcpy(&own, vde.request + 12, sizeof(own));
    assert_string_equal(own.sun_path, own_path);
    assert_int_equal(send(fd, "frame", 6, 0), 6);
    assert_int_equal(recv(vde.data, text, sizeof(text), 0), 6);
    assert_string_equal(text, "frame");
    assert_int_equal(sendto(vde.data, "reply", 6, 0, (struct sockaddr *)&own, sizeof(own)), 6);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 6);
    assert_string_equal(text, "reply");
    close(fd);
    close(keep_fd);
    close((int)(intptr_t)connection);
    close(vde.listener);
    close(vde.data);
    unlink(path);
    unlink(ctl);
    unlink(own_path);
}

/* ---- user networks ---- */

/* What listens in ioemud-usernet's place, for one connection. */
struct network {
    int listener;
    const char *says; /* NULL: nothing; "": hangs up */
    char heard[256];
    int fd;
};

static void *run_network(void *arg)
{
    struct network *network = arg;
    ssize_t n;

    network->fd = accept(network->listener, NULL, NULL);
    n = recv(network->fd, network->heard, sizeof(network->heard) - 1, 0);
    network->heard[n > 0 ? n : 0] = '\0';
    if (network->says && *network->says)
        (void)!send(network->fd, network->says, strlen(network->says), 0);
    else if (network->says)
        close(network->fd);
    return NULL;
}

static int ask_network(struct network *network, const char *path, int *ret_fd)
{
    pthread_t thread;
    int err;

    assert_int_equal(opener_listen(path, SOCK_SEQPACKET, 0600, "", &network->listener, why), 0);
    fcntl(network->listener, F_SETFL, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_network, network), 0);
    err = opener_user_network(path, "{\"restricted\":true}", ret_fd, why);
    pthread_join(thread, NULL);
    close(network->listener);
    assert_string_equal(network->heard, "{\"restricted\":true}");
    return err;
}

static void a_user_network_is_asked_for_and_answers(void **state)
{
    struct network network = {.says = "{\"ok\":true}"};
    char path[64], text[8] = "";
    int fd;

    snprintf(path, sizeof(path), "%s/u", dir);
    assert_int_equal(ask_network(&network, path, &fd), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(send(network.fd, "frame", 6, 0), 6);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 6);
    assert_string_equal(text, "frame");
    close(fd);
    close(network.fd);
    unlink(path);
}

static void who_has_no_user_network_is_told_why_and_what_to_do(void **state)
{
    static const struct {
        const char *says;
        int err;
        const char *why;
    } cases[] = {
        {"{\"error\":\"port 22 of the host cannot be forwarded\"}", -ECONNREFUSED,
         "user network: port 22 of the host cannot be forwarded"},
        {"{\"error\":\"a\\u0007\\u20ac\"}", -ECONNREFUSED, "user network: a????"},
        {"frames", -EPROTO, "is no ioemud-usernet"},
        {"", -ECONNRESET, "MaxConnections="},
        {NULL, -ETIMEDOUT, "no answer in 5 s"},
    };
    unsigned descriptors = 0;
    char path[64];
    int fd = -1, other;

    snprintf(path, sizeof(path), "%s/u", dir);
    for (unsigned i = 0; i < 2; i++) { /* not there, and left over */
        assert_true(opener_user_network(path, "{}", &fd, why) < 0);
        assert_non_null(strstr(why, "nobody listens at "));
        assert_non_null(strstr(why, "systemctl start ioemud-usernet.socket"));
        assert_non_null(strstr(why, "ioemud-usernet --listen"));
        assert_int_equal(opener_listen(path, SOCK_SEQPACKET, 0600, "", &other, why), 0);
        close(other);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct network network = {.says = cases[i].says};

        assert_int_equal(ask_network(&network, path, &fd), cases[i].err);
        if (!strstr(why, cases[i].why))
            fail_msg("%s", why);
        if (!network.says || *network.says) {
            assert_int_equal(recv(network.fd, why, 1, 0), 0); /* it was hung up on */
            close(network.fd);
        }
        other = dup(0);
        assert_true(!descriptors || (unsigned)other == descriptors);
        descriptors = (unsigned)other;
        close(other);
    }
    assert_int_equal(fd, -1);
    unlink(path);
}

static void a_rom_must_look_like_one(void **state)
{
    char path[64];
    uint8_t *data, image[1024] = {0x55, 0xaa, 2};
    uint32_t bytes;
    FILE *file;

    snprintf(path, sizeof(path), "%s/rom", dir);
    assert_int_equal(opener_rom(path, &data, &bytes, why), -ENOENT);
    file = fopen(path, "w");
    fwrite(image, 1, 511, file);
    fflush(file);
    assert_int_equal(opener_rom(path, &data, &bytes, why), -EINVAL);
    fwrite(image, 1, 513, file);
    fflush(file);
    assert_int_equal(opener_rom(path, &data, &bytes, why), 0);
    assert_int_equal(bytes, 1024);
    assert_memory_equal(data, image, 3);
    free(data);
    assert_int_equal(ftruncate(fileno(file), OPENER_ROM_MAX + 1), 0);
    assert_int_equal(opener_rom(path, &data, &bytes, why), -EINVAL);
    fclose(file);
    unlink(path);
    assert_int_equal(opener_rom(dir, &data, &bytes, why), -EINVAL);
}

static void a_capture_never_goes_over_what_is_there(void **state)
{
    char path[64], target[64];
    int fd;

    snprintf(path, sizeof(path), "%s/c.pcap", dir);
    snprintf(target, sizeof(target), "%s/target", dir);
    assert_int_equal(opener_capture(path, &fd, why), 0);
    close(fd);
    assert_int_equal(opener_capture(path, &fd, why), -EEXIST);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(opener_capture(path, &fd, why), -EEXIST);
    assert_int_not_equal(access(target, F_OK), 0);
    unlink(path);
}

/* In a process of its own: as under the unit's RestrictAddressFamilies=. */
static int with_unix_sockets_only(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    const struct nic_config nic = {.ifname = "t1", .bridge = "br0"};
    const struct http_config http = {.ipv4 = INADDR_LOOPBACK, .port = 9778};
    char ifname[16];
    int fd;

    if (!filter ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                         SCMP_A0(SCMP_CMP_NE, AF_UNIX)) ||
        seccomp_load(filter))
        return 90;
    if (opener_http(&http, &fd, why) != -EAFNOSUPPORT || !strstr(why, "metrics.conf"))
        return 1;
    return why_not || !opener_tap(&nic, &fd, ifname, why) ? 0 : 2;
}

static void without_ip_taps_join_bridges_and_metrics_say_what_to_do(void **state)
{
    const bool bridged = !why_not && !bridge(SIOCBRADDBR);
    struct ifreq ifr = {.ifr_name = "br0"};
    pid_t pid;
    int status;

    if (!why_not && !bridged)
        skip(); /* no bridges in this kernel */
    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(with_unix_sockets_only());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if (bridged) {
        assert_int_equal(control(SIOCSIFFLAGS, &ifr), 0);
        assert_int_equal(bridge(SIOCBRDELBR), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tap_is_created_by_its_name),
        cmocka_unit_test(a_tap_joins_its_bridge),
        cmocka_unit_test(without_ip_taps_join_bridges_and_metrics_say_what_to_do),
        cmocka_unit_test(a_macvtap_gets_the_guests_address),
        cmocka_unit_test(an_interface_that_is_none_is_named),
        cmocka_unit_test(a_stale_datagram_socket_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(a_port_of_a_switch_is_plugged_in),
        cmocka_unit_test(a_user_network_is_asked_for_and_answers),
        cmocka_unit_test(who_has_no_user_network_is_told_why_and_what_to_do),
        cmocka_unit_test(a_rom_must_look_like_one),
        cmocka_unit_test(a_capture_never_goes_over_what_is_there),
    };
    int failed, fd;

    if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        why_not = "no network namespace of its own (not root?)";
    else if ((fd = open("/dev/net/tun", O_RDWR)) < 0)
        why_not = "no tap interfaces (/dev/net/tun)";
    else
        close(fd);
    snprintf(dir, sizeof(dir), "/tmp/opener-net-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
