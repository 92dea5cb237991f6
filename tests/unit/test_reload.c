/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the configuration again, levels of the log, and traces, through the control socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/trace.h"
#include "devices/backend/net.h"
#include "tests/unit/guest_rig.h"
#include "tests/unit/json_text.h"

struct fixture {
    struct guest_rig rig; /* first */
    int fd;
    char config[64];
    char answer[1 << 20];
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    guest_rig_start(&f.rig);
    guest_rig_folder(&f.rig);
    snprintf(f.config, sizeof(f.config), "%s/ioemud.json", f.rig.dir);
    daemon_set_source(&f.rig.daemon, f.config, false);
    f.fd = guest_rig_dial(&f.rig);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close(f->fd);
    guests_dir_close(&f->rig.daemon);
    guest_rig_stop(&f->rig);
    return 0;
}

/* ioemud.json with these keys beside the folder (quotes as '). */
static void write_config(struct fixture *f, const char *keys)
{
    FILE *file = fopen(f->config, "w");

    assert_non_null(file);
    fprintf(file, "{\"run_dir\": \"%s\", \"guests_dir\": \"%s/guests.d\"", f->rig.dir, f->rig.dir);
    json_text_write(keys, file);
    fputs(strstr(keys, "isolation") ? "}" : ", \"isolation\": \"thread\"}", file); /* the rig's */
    assert_int_equal(fclose(file), 0);
}

static json_t *ask(struct fixture *f, const char *method, const char *params)
{
    char line[512];
    size_t length = 0;
    json_t *answer;

    snprintf(line, sizeof(line), "{'jsonrpc':'2.0','id':1,'method':'%s','params':{%s}}", method,
             params);
    guest_rig_say(f->fd, line);
    while (!length || f->answer[length - 1] != '\n') {
        ssize_t n = -1;

        while (n < 0) {
            ev_run(f->rig.daemon.ev, EVRUN_NOWAIT);
            n = recv(f->fd, f->answer + length, sizeof(f->answer) - length, MSG_DONTWAIT);
        }
        assert_true(n > 0);
        length += (size_t)n;
    }
    answer = json_loadb(f->answer, length, 0, NULL);
    assert_non_null(answer);
    return answer;
}

/* The result for the difference at `path`; "" if there is none. Fails if it is there twice. */
static const char *result_at(const json_t *answer, const char *path)
{
    const json_t *items = json_object_get(json_object_get(answer, "result"), "items");
    const char *found = "";

    assert_true(json_is_array(items));
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (strcmp(json_string_value(json_object_get(item, "path")), path) != 0)
            continue;
        assert_string_equal(found, "");
        found = json_string_value(json_object_get(item, "result"));
    }
    return found;
}

static size_t count_items(const json_t *answer)
{
    return json_array_size(json_object_get(json_object_get(answer, "result"), "items"));
}

static const char *error_of(const json_t *answer)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(answer, "error"), "message"));

    return text ? text : "";
}

static struct guest *attach_file(struct fixture *f, const char *name, const char *text)
{
    char params[64];

    guest_rig_file(&f->rig, name, text);
    snprintf(f->rig.domain[9].name, sizeof(f->rig.domain[9].name), "%s", name);
    snprintf(params, sizeof(params), "'name':'%s','domid':9", name);
    json_decref(ask(f, "attach", params));
    guest_rig_settle(&f->rig, 1);
    assert_int_equal(f->rig.daemon.guests->state, GUEST_RUNNING);
    return f->rig.daemon.guests;
}

/* ---- the daemon's file ---- */

static void test_what_has_not_changed_is_not_told(void **state)
{
    struct fixture *f = *state;
    json_t *answer;

    write_config(f, "");
    attach_file(f, "a", "{'nics': [{'backend': 'null'}]}");
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 0);
    json_decref(answer);
}

static void test_live_keys_of_the_daemon_are_applied_and_others_stay_pending(void **state)
{
    struct fixture *f = *state;
    json_t *answer;

    write_config(f, ", 'poll_us': 77, 'log_level': 'emerg', 'pool_pages': 64, 'xen': true");
    answer = ask(f, "reload", "");
    assert_string_equal(result_at(answer, "/poll_us"), "applied");
    assert_string_equal(result_at(answer, "/log_level"), "applied");
    assert_string_equal(result_at(answer, "/pool_pages"), "restart");
    assert_string_equal(result_at(answer, "/xen"), "restart");
    assert_int_equal(log_level(&f->rig.daemon.log), LOG_EMERG);
    json_decref(answer);
    guest_rig_hold_worker(&f->rig); /* it has done what it was told before */
    assert_int_equal(f->rig.daemon.worker[0]->watcher.limit_ns, 77000);
    guest_rig_release_worker(&f->rig);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 2);
    assert_string_equal(result_at(answer, "/pool_pages"), "restart");
    json_decref(answer);
    write_config(f, ", 'poll_us': 77, 'log_level': 'emerg'");
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 0);
    json_decref(answer);
    log_set_level(&f->rig.daemon.log, -1);
}

static void test_where_metrics_are_to_be_had_stays_pending(void **state)
{
    static const char *const at[] = {"127.0.0.1:9778", "[::1]:9778"};
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        char text[64];
        json_t *answer;

        snprintf(text, sizeof(text), ", 'metrics': {'http': '%s'}", at[i]);
        write_config(f, text);
        answer = ask(f, "reload", "");
        assert_int_equal(count_items(answer), 1);
        assert_string_equal(result_at(answer, "/metrics"), "restart");
        json_decref(answer);
    }
    write_config(f, ", 'metrics': {}");
    json_decref(ask(f, "reload", ""));
}

static void test_how_worker_processes_are_shared_and_timed_is_applied(void **state)
{
    struct fixture *f = *state;
    json_t *answer;

    write_config(f, ", 'worker_guests': 3, 'worker_timeout': 7, 'isolation': 'process', "
                    "'user_network_socket': '/run/u'");
    answer = ask(f, "reload", "");
    assert_string_equal(result_at(answer, "/worker_guests"), "applied");
    assert_string_equal(result_at(answer, "/worker_timeout"), "applied");
    assert_string_equal(result_at(answer, "/isolation"), "restart");
    assert_int_equal(f->rig.daemon.config.worker_guests, 3);
    assert_int_equal(f->rig.daemon.config.worker_timeout, 7);
    assert_string_equal(result_at(answer, "/user_network_socket"), "applied");
    assert_string_equal(f->rig.daemon.config.user_network_socket, "/run/u");
    json_decref(answer);
}

static void test_a_mistake_anywhere_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct guest *guest;
    json_t *answer;

    write_config(f, "");
    guest = attach_file(f, "a", "{'nics': [{'backend': 'null'}]}");
    write_config(f, ", 'poll_us': 77");
    guest_rig_file(&f->rig, "a", "{'budget': 7, 'nics': [{'backend': 'null', 'link': false}]}");
    guest_rig_file(&f->rig, "z", "{'budget': 0}");
    answer = ask(f, "reload", "");
    assert_non_null(strstr(error_of(answer), "nothing is changed: "));
    assert_non_null(strstr(error_of(answer), "/guests.d/z.json:1:12: at /budget: "));
    json_decref(answer);
    assert_int_equal(f->rig.daemon.config.poll_us, 200);
    assert_int_equal(guest->config.budget, 64);
    assert_true(guest->config.nic[0].link);
    guest_rig_file(&f->rig, "z", NULL);
    write_config(f, ", 'poll_us': -1");
    answer = ask(f, "reload", "");
    assert_non_null(strstr(error_of(answer), "ioemud.json:"));
    assert_non_null(strstr(error_of(answer), "at /poll_us"));
    json_decref(answer);
    assert_int_equal(guest->config.budget, 64);
}

/* ---- guests ---- */

static void test_live_keys_of_a_guest_reach_its_devices(void **state)
{
    struct fixture *f = *state;
    struct guest *guest;
    json_t *answer;

    write_config(f, "");
    guest = attach_file(f, "a",
                        "{'disks': [{'vdev': 'hdb', 'format': 'mem', 'size': 512}],"
                        " 'nics': [{'backend': 'null', 'devid': 3}]}");
    guest_rig_file(&f->rig, "a",
                   "{'budget': 7, 'disks': [{'vdev': 'hdb', 'format': 'mem', 'size': 512,"
                   " 'werror': 'stop', 'rerror': 'stop'}], 'nics': [{'backend': 'null', 'devid': 3,"
                   " 'link': false, 'rate': 1000, 'rate_in': 2000}]}");
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 6);
    assert_string_equal(result_at(answer, "/budget"), "applied");
    assert_string_equal(result_at(answer, "/disks/0/werror"), "applied");
    assert_string_equal(result_at(answer, "/disks/0/rerror"), "applied");
    assert_string_equal(result_at(answer, "/nics/0/link"), "applied");
    assert_string_equal(result_at(answer, "/nics/0/rate"), "applied");
    assert_string_equal(result_at(answer, "/nics/0/rate_in"), "applied");
    json_decref(answer);
    guest_rig_hold_worker(&f->rig);
    assert_int_equal(guest->vm->dispatch.budget, 7);
    assert_false(net_link(guest->vm->net[3]));
    guest_rig_release_worker(&f->rig);
    assert_int_equal(guest->config.disk[0].werror, DISK_WERROR_STOP);
    assert_int_equal(guest->config.disk[0].rerror, DISK_RERROR_STOP);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 0);
    json_decref(answer);
}

static void test_what_a_guest_must_be_attached_anew_for_is_told_each_time(void **state)
{
    struct fixture *f = *state;

    write_config(f, "");
    attach_file(f, "a", "{'disks': [{'vdev': 'hda', 'format': 'mem', 'size': 512}]}");
    guest_rig_file(&f->rig, "a",
                   "{'platform': false, 'disks': [{'vdev': 'hdb', 'format': 'mem', 'size': 512},"
                   " {'vdev': 'hda', 'format': 'mem', 'size': 1024}]}");
    for (unsigned i = 0; i < 2; i++) {
        json_t *answer = ask(f, "reload", "");

        assert_int_equal(count_items(answer), 3);
        assert_string_equal(result_at(answer, "/platform"), "re-attach");
        assert_string_equal(result_at(answer, "/disks/1/size"), "re-attach");
        assert_string_equal(result_at(answer, "/disks/0"), "re-attach");
        json_decref(answer);
    }
}

static void test_a_medium_and_a_nic_come_with_the_file(void **state)
{
    struct fixture *f = *state;
    char text[256];
    struct guest *guest;
    json_t *answer;

    write_config(f, "");
    guest_rig_image(&f->rig, "cd.iso");
    guest = attach_file(f, "a", "{'disks': [{'vdev': 'hdc', 'type': 'cdrom'}]}");
    snprintf(text, sizeof(text),
             "{'disks': [{'vdev': 'hdc', 'type': 'cdrom', 'path': '%s/cd.iso'}],"
             " 'nics': [{'backend': 'null'}]}",
             f->rig.dir);
    guest_rig_file(&f->rig, "a", text);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 2);
    assert_string_equal(result_at(answer, "/disks/0/path"), "applied");
    assert_string_equal(result_at(answer, "/nics/0"), "applied");
    json_decref(answer);
    assert_non_null(guest->blk[2]);
    assert_int_equal(guest->config.n_nics, 1);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 0);
    json_decref(answer);
    guest_rig_file(&f->rig, "a",
                   "{'disks': [{'vdev': 'hdc', 'type': 'cdrom', 'path': '/none'}],"
                   " 'nics': [{'backend': 'null'}]}");
    for (unsigned i = 0; i < 2; i++) {
        answer = ask(f, "reload", "");
        assert_int_equal(count_items(answer), 1);
        assert_string_equal(result_at(answer, "/disks/0/path"), "failed");
        json_decref(answer);
    }
    guest_rig_file(&f->rig, "a",
                   "{'disks': [{'vdev': 'hdc', 'type': 'cdrom'}],"
                   " 'nics': [{'backend': 'null'}]}");
    answer = ask(f, "reload", "");
    assert_string_equal(result_at(answer, "/disks/0"), "");
    json_decref(answer);
    assert_null(guest->blk[2]);
}

static void test_xls_line_stays_below_the_file(void **state)
{
    struct fixture *f = *state;
    int lease = guest_rig_dial(&f->rig);
    struct guest *guest;
    json_t *answer;

    write_config(f, "");
    guest_rig_file(&f->rig, "a", "{'nics': [{'devid': 0, 'rate': 1000}]}");
    guest_rig_say(lease, "{'jsonrpc':'2.0','id':1,'method':'dm-attach','params':{'domid':9,"
                         "'config':{'name':'a','role':'primary','budget':9,'nics':[{'devid':0,'"
                         "backend':'null'}]}}}");
    assert_non_null(strstr(guest_rig_hear(&f->rig, lease), "\"result\""));
    guest = f->rig.daemon.guests;
    assert_int_equal(guest->config.nic[0].rate, 1000);
    guest_rig_file(&f->rig, "a", "{'nics': [{'devid': 0, 'rate': 2000}]}");
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 1);
    assert_string_equal(result_at(answer, "/nics/0/rate"), "applied");
    json_decref(answer);
    assert_int_equal(guest->config.nic[0].rate, 2000);
    assert_int_equal(guest->config.budget, 9);
    guest_rig_file(&f->rig, "a", NULL); /* the line is all there is */
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 1);
    assert_string_equal(result_at(answer, "/nics"), "applied");
    json_decref(answer);
    assert_int_equal(guest->config.nic[0].rate, 0);
    guest_rig_file(&f->rig, "a", "{'role': 'secondary', 'disks': [{'vdev': 'hda', 'path': '/x'}]}");
    answer = ask(f, "reload", "");
    assert_non_null(strstr(error_of(answer), "/guests.d/a.json: a: at /role: "));
    json_decref(answer);
    close(lease);
    guest_rig_settle(&f->rig, 0);
}

static void test_one_that_waits_for_its_peer_gets_all_of_it(void **state)
{
    struct fixture *f = *state;
    json_t *answer;

    write_config(f, "");
    guest_rig_file(
        &f->rig, "a",
        "{'hypervisor': 'shm', 'disks': [{'vdev': 'hda', 'format': 'mem', 'size': 512}]}");
    json_decref(ask(f, "attach", "'name':'a'"));
    guest_rig_file(&f->rig, "a",
                   "{'hypervisor': 'shm', 'disks': [{'vdev': 'hdb', 'format': 'mem', 'size': 512}],"
                   " 'budget': 5, 'nics': [{'backend': 'null'}]}");
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 4);
    assert_string_equal(result_at(answer, "/budget"), "applied");
    assert_string_equal(result_at(answer, "/nics/0"), "applied");
    assert_string_equal(result_at(answer, "/disks/0"), "applied");
    assert_string_equal(result_at(answer, "/disks"), "applied");
    json_decref(answer);
    assert_string_equal(f->rig.daemon.guests->config.disk[0].vdev, "hdb");
    assert_int_equal(f->rig.daemon.guests->config.budget, 5);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 0);
    json_decref(answer);
}

static void test_a_file_that_is_gone_is_told_and_the_guest_stays(void **state)
{
    struct fixture *f = *state;
    json_t *answer;

    write_config(f, "");
    attach_file(f, "a", "{}");
    guest_rig_file(&f->rig, "a", NULL);
    answer = ask(f, "reload", "");
    assert_int_equal(count_items(answer), 1);
    assert_string_equal(result_at(answer, "/"), "re-attach");
    json_decref(answer);
    assert_int_equal(f->rig.daemon.guests->state, GUEST_RUNNING);
}

/* ---- levels ---- */

static void test_a_guest_can_have_a_level_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct guest *guest;
    json_t *answer;

    guest = attach_file(f, "a", "{}");
    assert_int_equal(log_level(guest->vm->params.log), -1);
    json_decref(ask(f, "log-level", "'name':'a','level':'emerg'"));
    assert_int_equal(log_level(guest->vm->params.log), LOG_EMERG);
    assert_int_equal(log_level(&f->rig.daemon.log), -1);
    answer = ask(f, "log-level", "'level':'alert','name':'nobody'");
    assert_non_null(strstr(error_of(answer), "no guest nobody"));
    json_decref(answer);
    answer = ask(f, "log-level", "'level':'loud'");
    assert_non_null(strstr(error_of(answer), "emerg, alert"));
    json_decref(answer);
    answer = ask(f, "log-level", "");
    assert_non_null(
        strstr(json_string_value(json_object_get(
                   json_array_get(json_object_get(json_object_get(answer, "result"), "guests"), 0),
                   "level")),
               "emerg"));
    json_decref(answer);
    json_decref(ask(f, "log-level", "'name':'a','level':'default'"));
    assert_int_equal(log_level(guest->vm->params.log), -1);
}

/* ---- traces ---- */

static void serve(struct fixture *f, uint16_t port, unsigned count)
{
    struct hv_guest *hv_guest = f->rig.last;

    for (unsigned i = 0; i < count; i++) {
        guest_rig_ask(hv_guest, 0, port);
        guest_rig_kick(hv_guest, false);
        while (!guest_rig_answered(hv_guest, 0))
            usleep(10);
    }
}

static size_t requests(const json_t *answer)
{
    return json_array_size(json_object_get(json_object_get(answer, "result"), "requests"));
}

static json_int_t lost(const json_t *answer)
{
    return json_integer_value(json_object_get(json_object_get(answer, "result"), "lost"));
}

static const char *ended(const json_t *answer)
{
    return json_string_value(json_object_get(json_object_get(answer, "result"), "ended"));
}

static void test_a_trace_tells_requests_and_what_its_reader_missed(void **state)
{
    struct fixture *f = *state;
    struct guest *guest;
    size_t told = 0;
    json_t *answer;

    guest = attach_file(f, "a", "{}");
    assert_null(guest->vm->dispatch.traced);
    json_decref(ask(f, "trace", "'name':'a','filter':'port=0x1f7'"));
    answer = ask(f, "trace", "'name':'a'");
    assert_non_null(strstr(error_of(answer), "already"));
    json_decref(answer);
    serve(f, 0x3f6, 3); /* not wanted */
    serve(f, 0x1f7, 1);
    answer = ask(f, "trace-read", "");
    assert_int_equal(requests(answer), 1);
    assert_int_equal(lost(answer), 0);
    assert_null(ended(answer));
    assert_non_null(strstr(
        json_string_value(json_object_get(
            json_array_get(json_object_get(json_object_get(answer, "result"), "requests"), 0),
            "text")),
        "vcpu0 IN 0x1f7/1 -> 0x"));
    json_decref(answer);

    serve(f, 0x1f7, TRACE_RING + 10);
    while (told < TRACE_RING) {
        answer = ask(f, "trace-read", "");
        assert_int_equal(requests(answer), TRACE_BATCH);
        assert_int_equal(lost(answer), told ? 0 : 10);
        told += requests(answer);
        json_decref(answer);
    }
    close(f->fd); /* and with it the trace */
    f->fd = guest_rig_dial(&f->rig);
    while (guest->trace)
        ev_run(f->rig.daemon.ev, EVRUN_ONCE);
    guest_rig_hold_worker(&f->rig);
    assert_null(guest->vm->dispatch.traced);
    guest_rig_release_worker(&f->rig);
}

static void test_a_trace_ends_with_its_count_or_its_guest(void **state)
{
    struct fixture *f = *state;
    json_t *answer;
    int other = guest_rig_dial(&f->rig);

    attach_file(f, "a", "{}");
    json_decref(ask(f, "trace", "'name':'a','count':2"));
    serve(f, 0x64, 5);
    answer = ask(f, "trace-read", "");
    assert_int_equal(requests(answer), 2);
    assert_int_equal(lost(answer), 0);
    assert_string_equal(ended(answer), "count");
    json_decref(answer);
    close(f->fd);
    f->fd = guest_rig_dial(&f->rig);
    while (f->rig.daemon.guests->trace)
        ev_run(f->rig.daemon.ev, EVRUN_ONCE);

    json_decref(ask(f, "trace", "'name':'a'"));
    guest_rig_say(f->fd, "{'jsonrpc':'2.0','id':1,'method':'trace-read'}");
    guest_rig_say(other, "{'jsonrpc':'2.0','id':1,'method':'detach','params':{'name':'a'}}");
    assert_non_null(strstr(guest_rig_hear(&f->rig, f->fd), "\"ended\":\"guest\""));
    guest_rig_settle(&f->rig, 0);
    answer = ask(f, "trace-read", "");
    assert_non_null(strstr(error_of(answer), "no trace"));
    json_decref(answer);
    close(other);
}

static void test_a_connection_that_goes_while_its_guest_does_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    int other = guest_rig_dial(&f->rig);

    attach_file(f, "a", "{}");
    json_decref(ask(f, "trace", "'name':'a'"));
    guest_rig_hold_worker(&f->rig);
    guest_rig_say(f->fd, "{'jsonrpc':'2.0','id':1,'method':'trace-read'}");
    guest_rig_say(other, "{'jsonrpc':'2.0','id':1,'method':'detach','params':{'name':'a'}}");
    for (unsigned i = 0; i < 20; i++)
        ev_run(f->rig.daemon.ev, EVRUN_NOWAIT);
    close(f->fd);
    for (unsigned i = 0; i < 20; i++)
        ev_run(f->rig.daemon.ev, EVRUN_NOWAIT);
    guest_rig_release_worker(&f->rig);
    guest_rig_settle(&f->rig, 0);
    f->fd = other;
}

static void test_a_connection_that_goes_before_its_trace_has_begun_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    attach_file(f, "a", "{}");
    guest_rig_hold_worker(&f->rig);
    guest_rig_say(f->fd, "{'jsonrpc':'2.0','id':1,'method':'trace','params':{'name':'a'}}");
    while (!f->rig.daemon.guests->trace)
        ev_run(f->rig.daemon.ev, EVRUN_ONCE);
    close(f->fd);
    for (unsigned i = 0; i < 20; i++)
        ev_run(f->rig.daemon.ev, EVRUN_NOWAIT);
    guest_rig_release_worker(&f->rig);
    while (f->rig.daemon.guests->trace)
        ev_run(f->rig.daemon.ev, EVRUN_ONCE);
    assert_null(f->rig.daemon.guests->vm->dispatch.traced);
    f->fd = guest_rig_dial(&f->rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_has_not_changed_is_not_told),
        TEST(test_live_keys_of_the_daemon_are_applied_and_others_stay_pending),
        TEST(test_where_metrics_are_to_be_had_stays_pending),
        TEST(test_how_worker_processes_are_shared_and_timed_is_applied),
        TEST(test_a_mistake_anywhere_changes_nothing),
        TEST(test_live_keys_of_a_guest_reach_its_devices),
        TEST(test_what_a_guest_must_be_attached_anew_for_is_told_each_time),
        TEST(test_a_medium_and_a_nic_come_with_the_file),
        TEST(test_xls_line_stays_below_the_file),
        TEST(test_one_that_waits_for_its_peer_gets_all_of_it),
        TEST(test_a_file_that_is_gone_is_told_and_the_guest_stays),
        TEST(test_a_guest_can_have_a_level_of_its_own),
        TEST(test_a_trace_tells_requests_and_what_its_reader_missed),
        TEST(test_a_trace_ends_with_its_count_or_its_guest),
        TEST(test_a_connection_that_goes_while_its_guest_does_leaves_nothing),
        TEST(test_a_connection_that_goes_before_its_trace_has_begun_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
