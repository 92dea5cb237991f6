/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines are those that libxl 4.17.5 builds for the configurations named above them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "config/config.h"
#include "daemon/dm/qemu_args.h"
#include "daemon/dm/qemu_opts.h"

#define ARGS_MAX 128

struct outcome {
    int err;
    struct qemu_args args;
    char why[QEMU_ARGS_WHY_SIZE];
    unsigned n_warnings;
    char warnings[4096];
};

static void on_warning(void *ctx, const char *text)
{
    struct outcome *o = ctx;
    size_t len = strlen(o->warnings);

    o->n_warnings++;
    snprintf(o->warnings + len, sizeof(o->warnings) - len, "%s\n", text);
}

/* `line` has one argument a line, as `xl -vvv create` shows them. */
static void parse(struct outcome *o, const char *line)
{
    char *text = strdup(line), *argv[ARGS_MAX], *save = NULL;
    int argc = 0;

    memset(o, 0, sizeof(*o));
    for (char *arg = strtok_r(text, "\n", &save); arg; arg = strtok_r(NULL, "\n", &save))
        argv[argc++] = arg;
    o->err = qemu_args_parse(argc, argv, on_warning, o, &o->args, o->why);
    free(text);
}

static void assert_config(struct outcome *o, const char *json)
{
    json_t *want = json_loads(json, 0, NULL);
    struct guest_config config;
    struct config_error error;

    assert_non_null(want);
    if (o->err)
        fail_msg("%s", o->why);
    if (!json_equal(want, o->args.config)) {
        char *got = json_dumps(o->args.config, JSON_SORT_KEYS);

        fail_msg("want %s\n got %s", json, got);
    }
    /* and the daemon takes it */
    if (guest_config_from_json(o->args.config, "(xl)", &config, &error))
        fail_msg("%s", error.text);
    guest_config_finish(&config);
    json_decref(want);
}

static void assert_error(const char *line, const char *word)
{
    struct outcome o;

    parse(&o, line);
    assert_int_equal(o.err, -EINVAL);
    if (!strstr(o.why, word))
        fail_msg("\"%s\" is not in \"%s\"", word, o.why);
}

#define DISK(file, index)                                                                          \
    "-drive\nfile=" file ",if=ide,index=" #index ",media=disk,format=raw,cache=writeback\n"
#define MONITORS                                                                                   \
    "-xen-domid\n3\n-no-shutdown\n"                                                                \
    "-chardev\nsocket,id=libxl-cmd,path=/var/run/xen/qmp-libxl-3,server=on,wait=off\n"             \
    "-mon\nchardev=libxl-cmd,mode=control\n"                                                       \
    "-chardev\nsocket,id=libxenstat-cmd,path=/var/run/xen/qmp-libxenstat-3,server=on,wait=off\n"   \
    "-mon\nchardev=libxenstat-cmd,mode=control\n-nodefaults\n-no-user-config\n"
#define MINIMAL "-xen-domid\n3\n-name\ng\n"

/* vga="none", serial="pty", one phy disk, one file disk, vcpus=2, maxvcpus=4, vnc=0 */
static void a_plain_guest(void **state)
{
    struct outcome o;

    parse(&o, MONITORS "-name\nweb1\n-vnc\nnone\n-display\nnone\n-serial\npty\n-boot\norder=cda\n"
                       "-smp\n2,maxcpus=4\n-net\nnone\n-machine\nxenfv,suppress-vmdesc=on\n"
                       "-m\n248\n" DISK("/dev/vg0/web1", 0) DISK("/srv/img/data.img", 3));
    assert_config(&o,
                  "{\"name\":\"web1\",\"platform\":true,\"boot\":\"cd\",\"serial\":[{\"type\":"
                  "\"pty\"}],\"disks\":[{\"vdev\":\"hda\",\"path\":\"/dev/vg0/web1\",\"format\":"
                  "\"raw\",\"cache\":\"writeback\"},{\"vdev\":\"hdd\",\"path\":"
                  "\"/srv/img/data.img\",\"format\":\"raw\",\"cache\":\"writeback\"}]}");
    assert_int_equal(o.n_warnings, 0);
    assert_int_equal(o.args.domid, 3);
    assert_int_equal(o.args.vcpus, 2);
    assert_int_equal(o.args.n_qmps, 2);
    assert_string_equal(o.args.qmp[0].path, "/var/run/xen/qmp-libxl-3");
    assert_string_equal(o.args.qmp[1].path, "/var/run/xen/qmp-libxenstat-3");
    assert_false(o.args.stopped || o.args.incoming || o.args.runas);
    qemu_args_finish(&o.args);
}

/* type="pv" or "pvh" with a qdisk disk; libxl 4.17 names no disks then */
static void a_guest_without_emulated_devices(void **state)
{
    struct outcome o;

    parse(&o, MONITORS "-xen-attach\n-name\npv1\n-vnc\nnone\n-display\nnone\n"
                       "-machine\nxenpv\n-m\n256\n");
    assert_config(&o, "{\"name\":\"pv1\",\"role\":\"pv\"}");
    assert_int_equal(o.n_warnings, 0);
    assert_int_equal(o.args.n_qmps, 2);
    qemu_args_finish(&o.args);
}

/* What a desktop's configuration asks for beyond: vnc, stdvga, usb tablet, sound, NIC, CD, sda */
static void what_ioemud_lacks_is_named_and_left_out(void **state)
{
    static const char *const named[] = {"display", "USB", "sound", "network card virtio-net",
                                        "qcow2",   "SCSI"};
    struct outcome o;

    parse(&o, MONITORS
          "-name\ndesk\n-vnc\n127.0.0.1:0,to=99\n-display\nnone\n-k\nde\n-device\nlsi53c895a\n"
          "-device\nVGA,vgamem_mb=16\n-boot\norder=cda\n-usb\n-usbdevice\ntablet\n"
          "-device\nintel-hda\n-device\nhda-duplex\n-smp\n2,maxcpus=2\n"
          "-device\nvirtio-net,id=nic0,netdev=net0,mac=00:16:3e:2d:ab:01\n"
          "-netdev\ntype=tap,id=net0,ifname=vif3.0-emu,br=xenbr0,script=no,downscript=no\n"
          "-machine\nxenfv,suppress-vmdesc=on\n-m\n1008\n" DISK(
              "/srv/a.img",
              0) "-drive\nif=none,readonly=on,id=ide-832,file=/srv/iso.qcow2,format=qcow2\n"
                 "-device\nide-cd,id=ide-832,drive=ide-832,bus=ide.1,unit=0\n"
                 "-drive\nif=none,readonly=on,id=ide-5696\n"
                 "-device\nide-cd,id=ide-5696,drive=ide-5696,bus=ide.1,unit=1\n"
                 "-drive\nfile=/srv/s.img,if=none,id=scsi0-hd0,format=raw,readonly=off,cache="
                 "writeback\n"
                 "-device\nscsi-hd,drive=scsi0-hd0,scsi-id=0\n");
    assert_config(&o, "{\"name\":\"desk\",\"platform\":true,\"boot\":\"cd\",\"disks\":[{\"vdev\":"
                      "\"hda\",\"path\":\"/srv/a.img\",\"format\":\"raw\",\"cache\":"
                      "\"writeback\"},{\"vdev\":\"hdc\",\"type\":\"cdrom\"},{\"vdev\":\"hdd\","
                      "\"type\":\"cdrom\"}]}");
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (!strstr(o.warnings, named[i]))
            fail_msg("%s is not in:\n%s", named[i], o.warnings);
    assert_int_equal(o.n_warnings, 6);
    qemu_args_finish(&o.args);
}

/* disk = [ "file:/srv/a.iso,hdc:cdrom,r", "hdd:cdrom" ], and as a line of one's own */
static void cdrom_drives_are_passed_on_with_and_without_a_medium(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL "-drive\nfile=/srv/a.iso,if=none,readonly=on,id=ide-5632,format=raw\n"
                      "-device\nide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0\n"
                      "-drive\nif=none,readonly=on,id=ide-5696\n"
                      "-device\nide-cd,id=ide-5696,drive=ide-5696,bus=ide.1,unit=1\n"
                      "-drive\nfile=/srv/b.iso,if=ide,index=1,media=cdrom,format=raw\n");
    assert_config(
        &o, "{\"name\":\"g\",\"disks\":["
            "{\"vdev\":\"hdb\",\"type\":\"cdrom\",\"path\":\"/srv/b.iso\",\"format\":\"raw\"},"
            "{\"vdev\":\"hdc\",\"type\":\"cdrom\",\"path\":\"/srv/a.iso\",\"format\":\"raw\","
            "\"read_only\":true},{\"vdev\":\"hdd\",\"type\":\"cdrom\"}]}");
    assert_int_equal(o.n_warnings, 0);
    qemu_args_finish(&o.args);
    assert_error(MINIMAL "-device\nide-cd,id=x,drive=x,bus=ide.1,unit=0\n", "ide-cd needs");
    assert_error(MINIMAL "-drive\nif=none,id=x\n-device\nide-cd,id=x,drive=x,bus=ide.7,unit=0\n",
                 "ide-cd goes with");
}

/* vif = [ "model=e1000,bridge=xenbr0", "mac=00:16:3e:2d:ab:02,type=ioemu" ] */
static void network_cards_are_matched_with_their_interfaces(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL
          "-device\ne1000,id=nic0,netdev=net0,mac=00:16:3e:2d:ab:01\n"
          "-netdev\ntype=tap,id=net0,ifname=vif3.0-emu,br=xenbr0,script=no,downscript=no\n"
          "-device\nrtl8139,id=nic1,netdev=net1,mac=00:16:3e:2d:ab:02\n"
          "-netdev\ntype=tap,id=net1,ifname=vif3.1-emu,br=xenbr0,script=no,downscript=no\n");
    assert_config(&o,
                  "{\"name\":\"g\",\"nics\":[{\"devid\":0,\"model\":\"e1000\",\"mac\":"
                  "\"00:16:3e:2d:ab:01\",\"backend\":\"tap\",\"ifname\":\"vif3.0-emu\"},"
                  "{\"devid\":1,\"model\":\"rtl8139\",\"mac\":\"00:16:3e:2d:ab:02\",\"backend\":"
                  "\"tap\",\"ifname\":\"vif3.1-emu\"}]}");
    assert_int_equal(o.n_warnings, 0);
    qemu_args_finish(&o.args);
    assert_error(MINIMAL "-device\ne1000,id=nic0,netdev=net0\n", "no -netdev net0");
    assert_error(MINIMAL "-device\ne1000,id=nic8,netdev=net0\n", "nic7");
    assert_error(MINIMAL "-device\ne1000,id=nic0,netdev=a\n-device\nrtl8139,id=nic0,netdev=b\n",
                 "two with id=nic0");
    assert_error(MINIMAL "-device\ne1000,id=nic0\n", "netdev= is missing");
    assert_error(MINIMAL "-netdev\ntype=bridge,id=net0\n", "bridge");
    assert_error(MINIMAL "-netdev\ntype=tap,id=net0,helper=/x\n", "helper");
    assert_error(MINIMAL "-netdev\ntap,ifname=a\n", "no id=");
}

/* dm_restrict=1, xen_platform_pci=0 */
static void a_restricted_guest_gets_its_monitor_as_a_descriptor(void **state)
{
    struct outcome o;

    parse(&o, "-xen-domid\n12\n-no-shutdown\n-chardev\nsocket,id=libxl-cmd,fd=19,server=on,wait="
              "off\n-S\n-mon\nchardev=libxl-cmd,mode=control\n"
              "-chardev\nsocket,id=libxenstat-cmd,path=/var/run/xen/qmp-libxenstat-12,server=on,"
              "wait=off\n-mon\nchardev=libxenstat-cmd,mode=control\n-nodefaults\n"
              "-no-user-config\n-name\nr\n-vnc\nnone\n-display\nnone\n-boot\norder=c\n-net\nnone\n"
              "-xen-domid-restrict\n-chroot\n/var/run/xen/qemu-root-12\n"
              "-machine\npc,accel=xen,suppress-vmdesc=on\n-m\n120\n" DISK("/srv/r.img",
                                                                          0) "-runas\n1012:100\n");
    assert_config(&o, "{\"name\":\"r\",\"platform\":false,\"boot\":\"c\",\"disks\":[{\"vdev\":"
                      "\"hda\",\"path\":\"/srv/r.img\",\"format\":\"raw\",\"cache\":"
                      "\"writeback\"}]}");
    assert_int_equal(o.n_warnings, 0);
    assert_null(o.args.qmp[0].path);
    assert_int_equal(o.args.qmp[0].fd, 19);
    assert_true(o.args.stopped);
    assert_string_equal(o.args.runas, "1012:100");
    qemu_args_finish(&o.args);
}

static void a_restore_is_recognised(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL "-incoming\nfd:7\n");
    assert_int_equal(o.err, 0);
    assert_true(o.args.incoming);
    qemu_args_finish(&o.args);
}

/* serial=["pty", "null", "pty"] and other forms of it */
static void serial_ports_keep_their_numbers(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL "-serial\nnull\n-serial\npty\n-serial\npty\n");
    assert_config(&o, "{\"name\":\"g\",\"serial\":[{\"type\":\"none\"},{\"type\":\"pty\"}]}");
    assert_int_equal(o.n_warnings, 1);
    qemu_args_finish(&o.args);

    parse(&o, MINIMAL "-serial\nfile:/var/log/g.log\n-serial\nunix:/run/g.sock,server,nowait\n");
    assert_config(&o, "{\"name\":\"g\",\"serial\":[{\"type\":\"file\",\"path\":\"/var/log/g.log\"},"
                      "{\"type\":\"unix\",\"path\":\"/run/g.sock\"}]}");
    assert_int_equal(o.n_warnings, 0);
    qemu_args_finish(&o.args);

    parse(&o, MINIMAL "-serial\ntcp:1.2.3.4:5\n-serial\nstdio\n");
    assert_config(&o, "{\"name\":\"g\",\"serial\":[{\"type\":\"none\"},{\"type\":\"none\"}]}");
    assert_int_equal(o.n_warnings, 2);
    qemu_args_finish(&o.args);

    assert_error(MINIMAL "-serial\nunix:/run/g.sock,nowait\n", "listens");
}

static void disks_may_come_as_drive_and_device(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL "-drive\nfile=/b,if=none,id=d1,format=raw,readonly=on,cache=none\n"
                      "-device\nide-hd,drive=d1,bus=ide.1,unit=1\n");
    assert_config(&o, "{\"name\":\"g\",\"disks\":[{\"vdev\":\"hdd\",\"path\":\"/b\",\"format\":"
                      "\"raw\",\"cache\":\"writeback\",\"direct\":true,\"read_only\":true}]}");
    qemu_args_finish(&o.args);

    parse(&o, MINIMAL "-drive\nfile=/b,if=none,id=d1\n");
    assert_config(&o, "{\"name\":\"g\"}");
    assert_non_null(strstr(o.warnings, "nothing uses the drive d1"));
    qemu_args_finish(&o.args);
    assert_error(MINIMAL "-device\nide-hd,drive=d1,bus=ide.0\n", "-drive before it");
    assert_error(MINIMAL "-drive\nfile=/b,if=none,id=d1\n-device\nide-hd,drive=d1,bus=ide.2\n",
                 "bus=ide.0");
    assert_error(MINIMAL "-drive\nfile=/b,if=none,id=d1\n-device\nide-hd,drive=d1,bus=ide.0\n"
                         "-device\nide-hd,drive=d1,bus=ide.1\n",
                 "-drive before it");
}

static void a_comma_in_a_path_is_doubled(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL DISK("/srv/a,,b=c.img", 0));
    assert_config(&o, "{\"name\":\"g\",\"disks\":[{\"vdev\":\"hda\",\"path\":\"/srv/a,b=c.img\","
                      "\"format\":\"raw\",\"cache\":\"writeback\"}]}");
    qemu_args_finish(&o.args);
    assert_error(MINIMAL DISK("/srv/a,b.img", 0), "\"b.img\" is not known");
}

static void two_disks_at_one_place_are_an_error(void **state)
{
    assert_error(MINIMAL DISK("/a", 1) DISK("/b", 1), "two disks at hdb");
}

static void only_raw_images_are_served(void **state)
{
    assert_error(MINIMAL "-drive\nfile=/a.qcow2,if=ide,index=0,media=disk,format=qcow2,cache="
                         "writeback\n",
                 "/a.qcow2 has the format qcow2");
    assert_error(MINIMAL "-drive\nfile=nbd:1.2.3.4:10809,if=ide,index=0,format=raw\n", "no file");
}

static void discard_has_two_names_each_way(void **state)
{
    static const char *const names[][2] = {
        {"unmap", "unmap"}, {"on", "unmap"}, {"ignore", "ignore"}, {"off", "ignore"}};

    for (unsigned i = 0; i < 4; i++) {
        char line[200], config[200];
        struct outcome o;

        snprintf(line, sizeof(line), MINIMAL "-drive\nfile=/a,if=ide,index=0,discard=%s\n",
                 names[i][0]);
        snprintf(config, sizeof(config),
                 "{\"name\":\"g\",\"disks\":[{\"vdev\":\"hda\",\"path\":\"/a\","
                 "\"format\":\"raw\",\"discard\":\"%s\"}]}",
                 names[i][1]);
        parse(&o, line);
        assert_config(&o, config);
        qemu_args_finish(&o.args);
    }
    assert_error(MINIMAL "-drive\nfile=/a,if=ide,index=0,discard=yes\n", "discard=yes");
}

static void drives_that_cannot_be_are_errors(void **state)
{
    assert_error(MINIMAL DISK("/a", 4), "index=0 to index=3");
    assert_error(MINIMAL "-drive\nif=ide,index=0,media=disk\n", "no file=");
    assert_error(MINIMAL "-drive\nfile=/a,if=scsi,index=0\n", "if=scsi");
    assert_error(MINIMAL "-drive\nfile=/a,if=ide,index=0,cache=yes\n", "cache=yes");
    assert_error(MINIMAL "-drive\nfile=/a,if=ide,index=0,snapshot=on\n", "snapshot=on");
    assert_error(MINIMAL "-drive\nfile=\xff,if=ide,index=0\n", "UTF-8");
    assert_error(MINIMAL "-drive\nfile=/a,,if=ide\n", "index");
    assert_error(MINIMAL "-drive\nfile=/a,\n", "not a list");
    assert_error(MINIMAL "-device\nahci,id=ahci0\n", "hdtype");
    /* COLO */
    assert_error(MINIMAL "-drive\nif=ide,index=0,media=disk,cache=writeback,driver=quorum,id=x,"
                         "children.0.file.filename=/a\n",
                 "children.0.file.filename");
}

static void booting_a_kernel_is_refused_with_the_way_out(void **state)
{
    assert_error(MINIMAL "-kernel\n/boot/vmlinuz\n-append\nroot=/dev/sda\n", "boot from a disk");
}

static void what_is_not_known_is_named(void **state)
{
    assert_error(MINIMAL "-frobnicate\n", "-frobnicate: this argument is not known");
    assert_error(MINIMAL "disk.img\n", "disk.img: this argument is not known");
    assert_error(MINIMAL "-device\nvfio-pci,host=01:00.0\n", "vfio-pci");
    assert_error(MINIMAL "-machine\nq35\n", "q35");
    assert_error(MINIMAL "-machine\npc,accel=kvm\n", "accel=kvm");
    assert_error(MINIMAL "-boot\norder=x\n", "'x'");
    assert_error(MINIMAL "-smp\n0\n", "-smp");
    assert_error(MINIMAL "-smp\n4,maxcpus=2\n", "-smp");
    assert_error(MINIMAL "-smp\n4,maxcpus=129\n", "-smp");
    assert_error(MINIMAL "-m\nmuch\n", "-m");
    assert_error(MINIMAL "-name\n", "-name: its value is missing");
    assert_error("-xen-domid\n3\n", "-name is missing");
    assert_error("-name\ng\n", "-xen-domid is missing");
    assert_error("-xen-domid\n0\n-name\ng\n", "-xen-domid");
    assert_error("-xen-domid\n32752\n-name\ng\n", "-xen-domid");
    assert_error("-xen-domid\n-1\n-name\ng\n", "-xen-domid");
}

static void a_monitor_must_be_a_socket_of_its_own(void **state)
{
#define SOCK "-chardev\nsocket,id=a,path=/x,server=on,wait=off\n"
#define MON  "-mon\nchardev=a,mode=control\n"
    assert_error(MINIMAL MON, "no -chardev a");
    assert_error(MINIMAL SOCK MON MON, "no -chardev a");
    assert_error(MINIMAL SOCK "-mon\nchardev=a,mode=readline\n", "mode=control");
    assert_error(MINIMAL "-chardev\npty,id=a\n" MON, "not a socket");
    assert_error(MINIMAL "-chardev\nsocket,id=a,host=h,port=1\n" MON, "not a socket");
    assert_error(MINIMAL "-chardev\nsocket,id=a,fd=x\n" MON, "fd=x");
    assert_error(MINIMAL SOCK MON SOCK MON, "two with id=a");
}

/* channel=["connection=pty,name=org.example"] */
static void a_channel_is_left_out(void **state)
{
    struct outcome o;

    parse(&o, MINIMAL "-chardev\npty,id=libxl-channel0\n");
    assert_config(&o, "{\"name\":\"g\"}");
    assert_non_null(strstr(o.warnings, "libxl-channel0"));
    qemu_args_finish(&o.args);
}

static void there_may_be_too_much_of_everything(void **state)
{
    char line[8192] = MINIMAL;

    for (int i = 0; i < 40; i++) {
        size_t len = strlen(line);

        snprintf(line + len, sizeof(line) - len, "-chardev\npty,id=c%d\n", i);
    }
    assert_error(line, "more than");
    strcpy(line, MINIMAL);
    for (int i = 0; i < 40; i++) {
        size_t len = strlen(line);

        snprintf(line + len, sizeof(line) - len, "-drive\nif=none,id=d%d,file=/a\n", i);
    }
    assert_error(line, "more than");
    strcpy(line, MINIMAL "-device\nVGA");
    for (int i = 0; i < 40; i++)
        strcat(line, ",a=b");
    assert_error(line, "not a list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_guest),
        cmocka_unit_test(a_guest_without_emulated_devices),
        cmocka_unit_test(cdrom_drives_are_passed_on_with_and_without_a_medium),
        cmocka_unit_test(what_ioemud_lacks_is_named_and_left_out),
        cmocka_unit_test(network_cards_are_matched_with_their_interfaces),
        cmocka_unit_test(a_restricted_guest_gets_its_monitor_as_a_descriptor),
        cmocka_unit_test(a_restore_is_recognised),
        cmocka_unit_test(serial_ports_keep_their_numbers),
        cmocka_unit_test(disks_may_come_as_drive_and_device),
        cmocka_unit_test(a_comma_in_a_path_is_doubled),
        cmocka_unit_test(two_disks_at_one_place_are_an_error),
        cmocka_unit_test(only_raw_images_are_served),
        cmocka_unit_test(discard_has_two_names_each_way),
        cmocka_unit_test(drives_that_cannot_be_are_errors),
        cmocka_unit_test(booting_a_kernel_is_refused_with_the_way_out),
        cmocka_unit_test(what_is_not_known_is_named),
        cmocka_unit_test(a_monitor_must_be_a_socket_of_its_own),
        cmocka_unit_test(a_channel_is_left_out),
        cmocka_unit_test(there_may_be_too_much_of_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
