/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What good configurations become. Bad ones: test_config_errors.c. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/reader.h"

static struct guest_config guest_of(const char *text)
{
    struct guest_config config;
    struct config_error error = {""};

    if (guest_config_parse(text, strlen(text), "web1.json", &config, &error))
        fail_msg("%s", error.text);
    return config;
}

/* ---- the daemon's file ---- */

static void test_an_empty_object_is_the_defaults(void **state)
{
    struct daemon_config config;
    struct config_error error;

    assert_int_equal(daemon_config_parse("{}", 2, "x", &config, &error), 0);
    assert_int_equal(config.workers, 0);
    assert_string_equal(config.control_socket, "/run/ioemud/control.sock");
    assert_string_equal(config.stats_socket, "/run/ioemud/stats.sock");
    assert_string_equal(config.guests_dir, "/etc/ioemud/guests.d");
    assert_string_equal(config.run_dir, "/run/ioemud");
    assert_string_equal(config.shm_socket, "");
    assert_string_equal(config.stats_group, "");
    assert_int_equal(config.log_level, LOG_INFO);
    assert_false(config.xen_set);
    daemon_config_finish(&config);
}

static void test_every_key_of_the_daemon_arrives(void **state)
{
    static const char text[] =
        "{\"workers\":3,\"pool_pages\":64,\"aio_depth\":8,\"poll_us\":0,\"control_socket\":\"/a\","
        "\"stats_socket\":\"/b\",\"stats_group\":\"adm\",\"guests_dir\":\"/c\",\"run_dir\":\"/d\","
        "\"shm_socket\":\"/e\",\"xen\":false,\"log_level\":\"debug\","
        "\"metrics\":{\"http\":\"127.0.0.2:9778\"}}";
    struct daemon_config config;
    struct config_error error;

    assert_int_equal(daemon_config_parse(text, sizeof(text) - 1, "x", &config, &error), 0);
    assert_int_equal(config.workers, 3);
    assert_int_equal(config.pool_pages, 64);
    assert_int_equal(config.aio_depth, 8);
    assert_int_equal(config.poll_us, 0);
    assert_string_equal(config.control_socket, "/a");
    assert_string_equal(config.stats_socket, "/b");
    assert_string_equal(config.stats_group, "adm");
    assert_string_equal(config.guests_dir, "/c");
    assert_string_equal(config.run_dir, "/d");
    assert_string_equal(config.shm_socket, "/e");
    assert_true(config.xen_set);
    assert_false(config.xen);
    assert_int_equal(config.log_level, LOG_DEBUG);
    assert_false(config.metrics.http.ipv6);
    assert_int_equal(config.metrics.http.ipv4, 0x7f000002);
    assert_int_equal(config.metrics.http.port, 9778);
    daemon_config_finish(&config);
}

static void test_metrics_may_be_told_over_ipv6(void **state)
{
    static const char text[] = "{\"metrics\":{\"http\":\"[::1]:80\"}}";
    struct daemon_config config;
    struct config_error error;

    assert_int_equal(daemon_config_parse(text, sizeof(text) - 1, "x", &config, &error), 0);
    assert_true(config.metrics.http.ipv6);
    assert_int_equal(config.metrics.http.port, 80);
    daemon_config_finish(&config);
}

/* ---- files ---- */

static void test_a_file_that_cannot_be_read_says_why(void **state)
{
    struct daemon_config config;
    struct config_error error;
    char path[] = "/tmp/ioemud-test-XXXXXX", fifo[64];

    assert_int_equal(daemon_config_load("/nonexistent/x.json", &config, &error), -ENOENT);
    assert_string_equal(error.text, "/nonexistent/x.json: No such file or directory");
    assert_int_equal(daemon_config_load("/", &config, &error), -EISDIR);

    assert_non_null(mkdtemp(path));
    snprintf(fifo, sizeof(fifo), "%s/fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    /* Nobody writes: this must not wait. */
    assert_int_equal(daemon_config_load(fifo, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "a regular file is expected"));
    unlink(fifo);
    rmdir(path);
}

static void test_a_file_above_the_limit_is_refused(void **state)
{
    struct daemon_config config;
    struct config_error error;
    char path[] = "/tmp/ioemud-test-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX + 1), 0);
    assert_int_equal(daemon_config_load(path, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "larger than 1 MiB"));
    close(fd);
    unlink(path);
}

static void test_a_guest_has_its_files_name(void **state)
{
    struct guest_config config;
    struct config_error error;

    assert_int_equal(guest_config_parse("{}", 2, "/etc/x/web-1.a.json", &config, &error), 0);
    assert_string_equal(config.name, "web-1.a");
    guest_config_finish(&config);
    assert_int_equal(guest_config_parse("{}", 2, "/etc/x/web1.jsn", &config, &error), -EINVAL);
    assert_int_equal(guest_config_parse("{}", 2, "/etc/x/.json", &config, &error), -EINVAL);
    assert_int_equal(guest_config_parse("{}", 2, "/etc/x/..json", &config, &error), -EINVAL);
    assert_int_equal(guest_config_parse("{}", 2, "/etc/x/a b.json", &config, &error), -EINVAL);
}

static void test_the_examples_are_good(void **state)
{
    static const char *const guests[] = {"web1", "store1", "sim1"};
    struct daemon_config daemon;
    struct config_error error = {""};

    if (daemon_config_load(CONFIG_EXAMPLES "/ioemud.json", &daemon, &error))
        fail_msg("%s", error.text);
    daemon_config_finish(&daemon);
    for (unsigned i = 0; i < 3; i++) {
        struct guest_config guest;
        char path[512];

        snprintf(path, sizeof(path), "%s/guests.d/%s.json", CONFIG_EXAMPLES, guests[i]);
        if (guest_config_load(path, &guest, &error) || guest_config_check(&guest, path, &error))
            fail_msg("%s", error.text);
        guest_config_finish(&guest);
    }
}

/* ---- guests ---- */

static void test_a_guest_by_default(void **state)
{
    struct guest_config config = guest_of("{}");

    assert_string_equal(config.name, "web1");
    assert_int_equal(config.hypervisor, GUEST_XEN);
    assert_int_equal(config.role, GUEST_PRIMARY);
    assert_int_equal(config.unplug, GUEST_UNPLUG_AUTO);
    assert_true(config.platform);
    assert_true(config.buffered_pio);
    assert_string_equal(config.boot_order, "c");
    assert_int_equal(config.n_disks, 0);
    assert_int_equal(config.n_serials, 0);
    assert_int_equal(config.map_limit_mib, 64);
    assert_int_equal(config.budget, 64);
    guest_config_finish(&config);
}

static void test_every_key_of_a_guest_arrives(void **state)
{
    struct guest_config config = guest_of(
        "{\"name\":\"web1\",\"hypervisor\":\"shm\",\"role\":\"primary\",\"unplug\":\"never\","
        "\"platform\":false,\"buffered_pio\":false,\"boot\":\"dcn\",\"map_limit_mib\":4096,"
        "\"budget\":1,\"disks\":["
        "{\"vdev\":\"hdb\",\"path\":\"/i\",\"format\":\"raw\",\"cache\":\"writethrough\","
        "\"direct\":false,\"read_only\":true,\"shared\":true,\"serial\":\"S\",\"model\":\"M\","
        "\"discard\":\"ignore\",\"firmware\":\"F1\",\"wwn\":\"0x5000C50015ea71ad\","
        "\"werror\":\"stop\",\"rerror\":\"stop\",\"fault\":{\"op\":\"write\",\"first_sector\":5,"
        "\"last_sector\":6,\"every\":7,\"count\":8,\"error\":\"ENXIO\",\"delay_ms\":9}},"
        "{\"vdev\":\"xvdd\",\"format\":\"mem\",\"size\":\"2M\"}],"
        "\"serial\":[{\"type\":\"file\",\"path\":\"/log\"},{\"type\":\"unix\",\"path\":\"/s\"}]}");

    assert_int_equal(config.hypervisor, GUEST_SHM);
    assert_int_equal(config.unplug, GUEST_UNPLUG_NEVER);
    assert_false(config.platform);
    assert_false(config.buffered_pio);
    assert_string_equal(config.boot_order, "dcn");
    assert_int_equal(config.map_limit_mib, 4096);
    assert_int_equal(config.budget, 1);
    assert_int_equal(config.n_disks, 2);
    assert_string_equal(config.disk[0].vdev, "hdb");
    assert_string_equal(config.disk[0].path, "/i");
    assert_int_equal(config.disk[0].backend, DISK_RAW);
    assert_int_equal(config.disk[0].cache, DISK_WRITETHROUGH);
    assert_false(config.disk[0].direct);
    assert_true(config.disk[0].read_only);
    assert_true(config.disk[0].shared);
    assert_string_equal(config.disk[0].serial, "S");
    assert_string_equal(config.disk[0].model, "M");
    assert_int_equal(config.disk[0].discard, DISK_DISCARD_IGNORE);
    assert_string_equal(config.disk[0].firmware, "F1");
    assert_string_equal(config.disk[0].wwn, "0x5000C50015ea71ad");
    assert_int_equal(config.disk[1].discard, DISK_DISCARD_UNMAP);
    assert_string_equal(config.disk[1].wwn, "");
    assert_int_equal(config.disk[0].werror, DISK_WERROR_STOP);
    assert_int_equal(config.disk[0].rerror, DISK_RERROR_STOP);
    assert_int_equal(config.disk[0].fault.op, DISK_FAULT_WRITE);
    assert_int_equal(config.disk[0].fault.first_sector, 5);
    assert_int_equal(config.disk[0].fault.last_sector, 6);
    assert_int_equal(config.disk[0].fault.every, 7);
    assert_int_equal(config.disk[0].fault.count, 8);
    assert_int_equal(config.disk[0].fault.error, DISK_FAULT_ENXIO);
    assert_int_equal(config.disk[0].fault.delay_ms, 9);
    assert_int_equal(config.disk[1].werror, DISK_WERROR_ENOSPC);
    assert_int_equal(config.disk[1].rerror, DISK_RERROR_REPORT);
    assert_int_equal(config.disk[1].fault.given, 0);
    assert_string_equal(config.disk[1].vdev, "hdd");
    assert_int_equal(config.disk[1].backend, DISK_MEM);
    assert_int_equal(config.disk[1].size, 2 << 20);
    assert_true(config.disk[1].direct);
    assert_int_equal(config.n_serials, 2);
    assert_int_equal(config.serial[0].kind, SERIAL_FILE);
    assert_string_equal(config.serial[0].path, "/log");
    assert_int_equal(config.serial[1].kind, SERIAL_UNIX);
    guest_config_finish(&config);
}

static void test_a_guest_survives_the_way_to_json_and_back(void **state)
{
    static const char *const texts[] = {
        "{\"disks\":[{\"vdev\":\"hda\",\"path\":\"/a\",\"discard\":\"ignore\","
        "\"firmware\":\"F\",\"wwn\":\"0x5123456789abcdef\",\"werror\":\"report\",\"fault\":"
        "{\"every\":3,\"op\":\"flush\"}},"
        "{\"vdev\":\"hdc\",\"format\":\"mem\",\"size\":512}],"
        "\"serial\":[{\"type\":\"pty\"},{\"type\":\"file\",\"path\":\"/l\"}]}",
        "{\"role\":\"secondary\",\"slot\":30,\"disks\":[{\"vdev\":\"hda\",\"path\":\"/a\"}]}",
        "{\"role\":\"pv\",\"budget\":5}",
        "{\"nics\":[{\"model\":\"rtl8139\",\"bridge\":\"xenbr0\",\"rate\":\"10M\",\"rom\":\"none\"}"
        ","
        "{\"devid\":5,\"mac\":\"00:16:3e:01:02:ff\",\"backend\":\"user\",\"tftp\":\"/"
        "t\",\"slot\":9,"
        "\"forward\":[{\"protocol\":\"udp\",\"port\":53,\"guest_port\":53},"
        "{\"address\":\"0.0.0.0\",\"port\":2222,\"guest_port\":22}]},"
        "{\"devid\":2,\"backend\":\"socket\",\"path\":\"/a\",\"peer\":\"/b\"},"
        "{\"devid\":3,\"backend\":\"socket\",\"mode\":\"vde\",\"path\":\"/a\",\"link\":false}]}",
    };

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct guest_config config = guest_of(texts[i]), again;
        struct config_error error = {""};
        json_t *object = guest_config_to_json(&config);

        assert_non_null(object);
        if (guest_config_from_json(object, "(request)", &again, &error))
            fail_msg("%s", error.text);

        json_t *object_again = guest_config_to_json(&again);

        assert_true(json_equal(object, object_again));
        assert_int_equal(again.disk[0].fault.every, i ? 0 : 3);
        json_decref(object);
        json_decref(object_again);
        guest_config_finish(&config);
        guest_config_finish(&again);
    }
}

static void test_an_object_from_a_socket_must_be_complete(void **state)
{
    struct config_error error;
    struct guest_config config;
    json_t *object = json_pack("{s:[{s:s}]}", "disks", "vdev", "hda");

    assert_int_equal(guest_config_from_json(object, "(request)", &config, &error), -EINVAL);
    assert_string_equal(error.text, "(request): at /: \"name\" is missing");
    json_object_set_new(object, "name", json_string("x"));
    assert_int_equal(guest_config_from_json(object, "(request)", &config, &error), -EINVAL);
    assert_string_equal(
        error.text, "(request): at /disks/0: disk hda has no \"path\": the absolute path of its "
                    "image or block device is expected");
    json_decref(object);
}

/* ---- merging ---- */

static struct guest_config merged_of(const char *line_text, const char *file_text)
{
    struct guest_config line = guest_of(line_text), file = guest_of(file_text), config;
    struct config_error error = {""};

    if (guest_config_merge(&line, &file, &config, &error))
        fail_msg("%s", error.text);
    guest_config_finish(&line);
    guest_config_finish(&file);
    return config;
}

static void test_faults_and_policies_are_merged(void **state)
{
    struct guest_config config =
        merged_of("{\"disks\":[{\"vdev\":\"hda\",\"path\":\"/a\",\"werror\":\"stop\"},"
                  "{\"vdev\":\"hdb\",\"path\":\"/b\",\"fault\":{\"every\":2}}]}",
                  "{\"disks\":[{\"vdev\":\"hda\",\"fault\":{\"every\":3}}]}");

    assert_int_equal(config.disk[0].werror, DISK_WERROR_STOP);
    assert_int_equal(config.disk[0].fault.every, 3);
    assert_int_equal(config.disk[1].fault.every, 2);
    guest_config_finish(&config);
}

static void assert_not_merged(const char *line_text, const char *file_text, const char *why)
{
    struct guest_config line = guest_of(line_text), file = guest_of(file_text), config;
    struct config_error error = {""};

    assert_int_equal(guest_config_merge(&line, &file, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, why));
    guest_config_finish(&line);
    guest_config_finish(&file);
}

static void test_the_file_wins_key_by_key(void **state)
{
    struct guest_config config = merged_of(
        "{\"boot\":\"dc\",\"unplug\":\"never\",\"serial\":[{\"type\":\"pty\"}],\"disks\":["
        "{\"vdev\":\"hda\",\"path\":\"/line-a\",\"cache\":\"writethrough\",\"read_only\":true},"
        "{\"vdev\":\"hdb\",\"path\":\"/line-b\"}]}",
        "{\"boot\":\"c\",\"budget\":8,\"disks\":["
        "{\"vdev\":\"xvdb\",\"direct\":false},"
        "{\"vdev\":\"hda\",\"serial\":\"FILE\",\"read_only\":false},"
        "{\"vdev\":\"hdd\",\"path\":\"/file-d\"}]}");

    assert_string_equal(config.boot_order, "c");
    assert_int_equal(config.unplug, GUEST_UNPLUG_NEVER); /* the file was silent */
    assert_int_equal(config.budget, 8);
    assert_int_equal(config.n_serials, 1);
    assert_int_equal(config.serial[0].kind, SERIAL_PTY);
    assert_int_equal(config.n_disks, 3);
    assert_string_equal(config.disk[0].path, "/line-a");
    assert_int_equal(config.disk[0].cache, DISK_WRITETHROUGH);
    assert_false(config.disk[0].read_only);
    assert_string_equal(config.disk[0].serial, "FILE");
    assert_string_equal(config.disk[1].path, "/line-b");
    assert_false(config.disk[1].direct);
    assert_string_equal(config.disk[2].vdev, "hdd");
    assert_string_equal(config.disk[2].path, "/file-d");
    guest_config_finish(&config);
}

static void test_a_file_can_put_another_disk_in_the_lines_place(void **state)
{
    struct guest_config config =
        merged_of("{\"disks\":[{\"vdev\":\"hda\",\"path\":\"/line\"}]}",
                  "{\"disks\":[{\"vdev\":\"hda\",\"format\":\"mem\",\"size\":512}]}");

    assert_int_equal(config.disk[0].backend, DISK_MEM);
    guest_config_finish(&config);
}

static void test_every_key_of_a_nic_arrives(void **state)
{
    struct guest_config config = guest_of(
        "{\"nics\":[{},{\"devid\":7,\"model\":\"ne2k_pci\",\"mac\":\"02:AB:cd:00:00:01\","
        "\"backend\":\"user\",\"restricted\":true,\"tftp\":\"/srv/tftp\",\"bootfile\":\"x.ipxe\","
        "\"forward\":[{\"port\":2222,\"guest_port\":22}],\"rate\":1000,\"rate_in\":\"1K\","
        "\"link\":false,\"slot\":31,\"rom\":\"/x.rom\"},"
        "{\"backend\":\"socket\",\"mode\":\"listen\",\"path\":\"/l\"}]}");

    assert_int_equal(config.n_nics, 3);
    assert_int_equal(config.nic[0].devid, 0);
    assert_int_equal(config.nic[0].model, NIC_E1000);
    assert_int_equal(config.nic[0].backend, NIC_TAP);
    assert_true(config.nic[0].link);
    assert_string_equal(config.nic[0].rom, "auto");
    assert_int_equal(config.nic[1].devid, 7);
    assert_string_equal(nic_config_model(&config.nic[1]), "ne2k_pci");
    assert_memory_equal(config.nic[1].mac, "\x02\xab\xcd\x00\x00\x01", 6);
    assert_true(config.nic[1].restricted);
    assert_string_equal(config.nic[1].tftp, "/srv/tftp");
    assert_string_equal(config.nic[1].bootfile, "x.ipxe");
    assert_int_equal(config.nic[1].n_forwards, 1);
    assert_int_equal(config.nic[1].forward[0].address, 0x7f000001);
    assert_int_equal(config.nic[1].forward[0].guest_port, 22);
    assert_int_equal(config.nic[1].rate, 1000);
    assert_int_equal(config.nic[1].rate_in, 1024);
    assert_false(config.nic[1].link);
    assert_int_equal(config.nic[1].slot, 31);
    assert_int_equal(config.nic[2].devid, 2);
    assert_int_equal(config.nic[2].mode, NIC_LISTEN);
    guest_config_finish(&config);
}

static void test_an_address_that_is_not_given_is_xens_and_stays(void **state)
{
    struct guest_config config = guest_of("{\"nics\":[{},{}]}");
    uint8_t mac[3][6], given[6];

    nic_config_mac(&config.nic[0], "web1", mac[0]);
    nic_config_mac(&config.nic[0], "web1", mac[1]);
    assert_memory_equal(mac[0], mac[1], 6);
    assert_memory_equal(mac[0], "\x00\x16\x3e", 3);
    nic_config_mac(&config.nic[1], "web1", mac[1]);
    nic_config_mac(&config.nic[0], "web2", mac[2]);
    assert_memory_not_equal(mac[0], mac[1], 6);
    assert_memory_not_equal(mac[0], mac[2], 6);
    memset(config.nic[0].mac, 2, 6);
    config.nic[0].mac_set = true;
    nic_config_mac(&config.nic[0], "web1", given);
    assert_memory_equal(given, config.nic[0].mac, 6);
    guest_config_finish(&config);
}

static void test_nics_are_merged_by_devid(void **state)
{
    struct guest_config config = merged_of(
        "{\"nics\":[{\"devid\":0,\"model\":\"rtl8139\",\"mac\":\"00:16:3e:00:00:01\","
        "\"ifname\":\"vif1.0-emu\"},{\"devid\":1,\"ifname\":\"vif1.1-emu\"}]}",
        "{\"nics\":[{\"devid\":1,\"backend\":\"user\",\"forward\":[{\"port\":1,\"guest_port\":2}]},"
        "{\"devid\":0,\"rate\":5000,\"rom\":\"none\"},{\"devid\":3,\"bridge\":\"br1\"}]}");

    assert_int_equal(config.n_nics, 3);
    assert_int_equal(config.nic[0].model, NIC_RTL8139);
    assert_true(config.nic[0].mac_set);
    assert_string_equal(config.nic[0].ifname, "vif1.0-emu");
    assert_int_equal(config.nic[0].rate, 5000);
    assert_string_equal(config.nic[0].rom, "none");
    assert_int_equal(config.nic[1].backend, NIC_USER); /* the line's ifname is void then */
    assert_int_equal(config.nic[1].n_forwards, 1);
    assert_int_equal(config.nic[2].devid, 3);
    assert_string_equal(config.nic[2].bridge, "br1");
    guest_config_finish(&config);
    assert_not_merged("{}", "{\"nics\":[{\"backend\":\"socket\"}]}", "at /nics/0: NIC 0 is");
    assert_not_merged("{}", "{\"nics\":[{\"backend\":\"socket\",\"path\":\"/a\"}]}", "\"peer\"");
    assert_not_merged("{}", "{\"nics\":[{\"backend\":\"macvtap\"}]}", "\"ifname\"");
}

static void test_an_empty_list_of_serial_ports_takes_the_lines_away(void **state)
{
    struct guest_config config = merged_of("{\"serial\":[{\"type\":\"pty\"}]}", "{\"serial\":[]}");

    assert_int_equal(config.n_serials, 0);
    guest_config_finish(&config);
}

static void test_a_merge_that_cannot_be_says_why(void **state)
{
    assert_not_merged("{}", "{\"disks\":[{\"vdev\":\"hda\"}]}", "at /disks/0: disk hda has no");
    assert_not_merged("{\"role\":\"primary\"}", "{\"role\":\"secondary\"}", "another \"role\"");
    assert_not_merged("{\"hypervisor\":\"xen\"}", "{\"hypervisor\":\"shm\"}",
                      "another \"hypervisor\"");
    assert_not_merged("{\"boot\":\"c\"}", "{\"role\":\"secondary\"}", "\"boot\" is the primary");
    assert_not_merged("{\"role\":\"pv\"}", "{\"serial\":[{\"type\":\"pty\"}]}",
                      "\"serial\" is about emulated devices");
    assert_not_merged("{\"platform\":true}", "{\"role\":\"pv\"}",
                      "\"platform\" is about emulated devices");
}

/* ---- the nearest key ---- */

static void test_the_nearest_key_is_near(void **state)
{
    static const struct config_key keys[] = {{"disks"}, {"serial"}, {"map_limit_mib"}, {"name"}};
    static const struct config_table table = {"x", keys, 4};

    assert_string_equal(config_nearest_key(&table, "dsiks"), "disks");
    assert_string_equal(config_nearest_key(&table, "Disk"), "disks");
    assert_string_equal(config_nearest_key(&table, "serials"), "serial");
    assert_string_equal(config_nearest_key(&table, "map-limit-MiB"), "map_limit_mib");
    assert_null(config_nearest_key(&table, "colour"));
    assert_null(config_nearest_key(&table, "x"));
    assert_null(config_nearest_key(&table, ""));
    assert_null(config_nearest_key(&table, "a_key_that_is_longer_than_any_of_ours"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_object_is_the_defaults),
        cmocka_unit_test(test_every_key_of_the_daemon_arrives),
        cmocka_unit_test(test_metrics_may_be_told_over_ipv6),
        cmocka_unit_test(test_a_file_that_cannot_be_read_says_why),
        cmocka_unit_test(test_a_file_above_the_limit_is_refused),
        cmocka_unit_test(test_a_guest_has_its_files_name),
        cmocka_unit_test(test_the_examples_are_good),
        cmocka_unit_test(test_a_guest_by_default),
        cmocka_unit_test(test_faults_and_policies_are_merged),
        cmocka_unit_test(test_every_key_of_a_guest_arrives),
        cmocka_unit_test(test_a_guest_survives_the_way_to_json_and_back),
        cmocka_unit_test(test_every_key_of_a_nic_arrives),
        cmocka_unit_test(test_an_address_that_is_not_given_is_xens_and_stays),
        cmocka_unit_test(test_nics_are_merged_by_devid),
        cmocka_unit_test(test_an_object_from_a_socket_must_be_complete),
        cmocka_unit_test(test_the_file_wins_key_by_key),
        cmocka_unit_test(test_a_file_can_put_another_disk_in_the_lines_place),
        cmocka_unit_test(test_an_empty_list_of_serial_ports_takes_the_lines_away),
        cmocka_unit_test(test_a_merge_that_cannot_be_says_why),
        cmocka_unit_test(test_the_nearest_key_is_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
