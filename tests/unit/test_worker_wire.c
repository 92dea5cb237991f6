/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a captured worker process may say, and what it may count. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/worker_wire.h"

static bool good(struct worker_report report)
{
    return worker_report_check(&report, sizeof(report));
}

static void a_report_of_another_length_is_none(void **state)
{
    struct worker_report report = {.kind = REPORT_GONE};

    assert_true(worker_report_check(&report, sizeof(report)));
    assert_false(worker_report_check(&report, sizeof(report) - 1));
    assert_false(worker_report_check(&report, sizeof(report) + 1));
    assert_false(worker_report_check(&report, 0));
}

static void a_kind_that_does_not_exist_is_none(void **state)
{
    assert_false(good((struct worker_report){.kind = REPORTS}));
    assert_false(good((struct worker_report){.kind = (enum worker_report_kind) - 1}));
}

static void an_error_is_one_of_the_system_s(void **state)
{
    const int bad[] = {1, -4096, -100000, INT32_MIN, INT32_MAX};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(good((struct worker_report){.kind = REPORT_REPLY, .reply.err = bad[i]}));
        assert_false(good((struct worker_report){.kind = REPORT_STARTED, .reply.err = bad[i]}));
        assert_false(good(
            (struct worker_report){.kind = REPORT_IO_STOPPED, .io_stopped.what.error = bad[i]}));
    }
    assert_true(good((struct worker_report){.kind = REPORT_REPLY, .reply.err = -EIO}));
    assert_true(good((struct worker_report){.kind = REPORT_STARTED}));
    assert_false(good((struct worker_report){.kind = REPORT_IO_STOPPED})); /* what for, then */
}

static void a_number_lies_within_what_there_is(void **state)
{
    struct worker_report stop = {
        .kind = REPORT_IO_STOPPED,
        .io_stopped = {.unit = VM_UNITS - 1, .what = {.op = BLK_DISCARD, .error = -EIO}}};

    assert_true(good(stop));
    stop.io_stopped.unit++;
    assert_false(good(stop));
    stop.io_stopped.unit = 0;
    stop.io_stopped.what.op = BLK_DISCARD + 1;
    assert_false(good(stop));
    assert_true(good((struct worker_report){.kind = REPORT_SERIAL_FULL, .port = 1}));
    assert_false(good((struct worker_report){.kind = REPORT_SERIAL_FULL, .port = MACHINE_SERIALS}));
    assert_true(good((struct worker_report){.kind = REPORT_DIAL, .nic = MACHINE_NICS - 1}));
    assert_false(good((struct worker_report){.kind = REPORT_DIAL, .nic = MACHINE_NICS}));
    assert_false(good((struct worker_report){.kind = REPORT_DIAL, .nic = UINT32_MAX}));
}

static void news_are_of_a_pv_disk_and_an_error_where_there_is_one(void **state)
{
    struct worker_report report = {.kind = REPORT_PV_NEWS,
                                   .pv = {MACHINE_IDE_DRIVES, {.event = VM_PV_DRAINED}}};

    assert_true(good(report));
    report.pv.unit = MACHINE_IDE_DRIVES - 1; /* a drive */
    assert_false(good(report));
    report.pv.unit = VM_UNITS;
    assert_false(good(report));
    report.pv.unit = UINT32_MAX;
    assert_false(good(report));
    report.pv.unit = VM_UNITS - 1;
    report.pv.news.error = -EIO; /* what for, then */
    assert_false(good(report));
    report.pv.news.event = VM_PV_SEALED;
    assert_true(good(report));
    report.pv.news.error = 0;
    assert_false(good(report));
    report.pv.news.error = -4096;
    assert_false(good(report));
    report.pv.news = (struct vm_pv_news){.event = VM_PV_EVENTS};
    assert_false(good(report));
    report.pv.news.event = (enum vm_pv_event) - 1;
    assert_false(good(report));
}

static void what_a_program_has_said_is_an_image_that_can_be(void **state)
{
    const struct nbd_export image = {.bytes = 1 << 20, .physical_block = 4096};
    struct worker_report report = {
        .kind = REPORT_PV_NEWS,
        .pv = {MACHINE_IDE_DRIVES, {.event = VM_PV_HEARD, .export = image}}};
    struct nbd_export *export = &report.pv.news.export;
    const uint32_t blocks[] = {0, 1, 256, 513, 4095, UINT32_MAX};
    const bool truth = true;

    memset(&export->discard, 0x80, sizeof(export->discard));
    assert_true(worker_report_check(&report, sizeof(report)));
    assert_memory_equal(&export->discard, &truth, sizeof(truth));
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        export->physical_block = blocks[i];
        assert_false(good(report));
    }
    *export = image;
    export->bytes = 511;
    assert_false(good(report));
    export->bytes = UINT64_MAX;
    assert_false(good(report));
    report.pv.news.error = -EPROTO; /* then it does not matter */
    assert_true(good(report));
    report.pv.news.error = 1;
    assert_false(good(report));
}

static void text_ends_and_is_printable(void **state)
{
    struct worker_report report = {.kind = REPORT_LOG, .log.priority = LOG_INFO};

    memset(report.log.text, 'a', sizeof(report.log.text));
    memset(report.log.device, 'b', sizeof(report.log.device));
    report.log.text[3] = '\n';
    report.log.text[4] = (char)0xff; /* no UTF-8 */
    assert_true(worker_report_check(&report, sizeof(report)));
    assert_int_equal(strlen(report.log.text), REPORT_TEXT_MAX);
    assert_int_equal(strlen(report.log.device), REPORT_DEVICE_MAX);
    assert_memory_equal(report.log.text, "aaa??a", 6);

    report = (struct worker_report){.kind = REPORT_REPLY};
    memset(report.reply.why, 'w', sizeof(report.reply.why));
    assert_true(worker_report_check(&report, sizeof(report)));
    assert_int_equal(strlen(report.reply.why), VM_WHY_SIZE - 1);

    report = (struct worker_report){.kind = REPORT_PV_NEWS,
                                    .pv = {MACHINE_IDE_DRIVES, {.event = VM_PV_LOST}}};
    memset(report.pv.news.why, '\n', sizeof(report.pv.news.why));
    assert_true(worker_report_check(&report, sizeof(report)));
    assert_int_equal(strspn(report.pv.news.why, "?"), VM_PV_WHY_SIZE - 1);
}

static void a_truth_value_is_one(void **state)
{
    const bool truth = true;
    struct worker_report report = {.kind = REPORT_REPLY};

    memset(&report.reply.closing, 0x80, sizeof(report.reply.closing));
    memset(&report.reply.drained, 0x40, sizeof(report.reply.drained));
    assert_true(worker_report_check(&report, sizeof(report)));
    assert_memory_equal(&report.reply.closing, &truth, sizeof(truth));
    assert_memory_equal(&report.reply.drained, &truth, sizeof(truth));
}

static void a_line_is_no_more_urgent_than_a_device_s(void **state)
{
    for (int priority = LOG_EMERG - 1; priority <= LOG_DEBUG + 1; priority++)
        assert_int_equal(good((struct worker_report){.kind = REPORT_LOG, .log.priority = priority}),
                         priority >= LOG_ERR && priority <= LOG_DEBUG);
}

/* ---- counts -----------------------------------------------------------------------------------*/

static void counts_are_copied_word_by_word(void **state)
{
    uint64_t from[] = {1, UINT64_MAX, 3, 4}, to[] = {0, 0, 0, 9};

    vm_counts_move(to, from, 3 * sizeof(from[0]));
    assert_memory_equal(to, from, 3 * sizeof(from[0]));
    assert_int_equal(to[3], 9);
}

static void counts_of_a_captured_worker_stay_within_bounds(void **state)
{
    static struct vm_counts wild, counts;

    memset(&wild, 0xff, sizeof(wild));
    vm_counts_take(&counts, &wild);
    assert_int_equal(counts.n_devices, VM_COUNTS_DEVICES);
    for (unsigned i = 0; i < VM_COUNTS_DEVICES; i++) {
        assert_int_equal(counts.device[i].n_counters, VM_COUNTS_OF_EACH);
        assert_int_equal(strlen(counts.device[i].name), VM_COUNTS_NAME_MAX);
        assert_int_equal(strspn(counts.device[i].model, "?"), VM_COUNTS_NAME_MAX);
        for (unsigned j = 0; j < VM_COUNTS_OF_EACH; j++)
            assert_int_equal(strlen(counts.device[i].counter[j].name), VM_COUNTS_NAME_MAX);
    }
}

static void devices_that_a_guest_does_not_have_are_not_copied(void **state)
{
    static struct vm_counts from, to;

    from.n_devices = 2;
    from.device[1].n_counters = 3;
    from.device[2].n_counters = 4;
    to.device[2].n_counters = 5;
    vm_counts_take(&to, &from);
    assert_int_equal(to.n_devices, 2);
    assert_int_equal(to.device[1].n_counters, 3);
    assert_int_equal(to.device[2].n_counters, 5);
    assert_ptr_equal((char *)&from + vm_counts_size(&from), &from.device[2]);
}

/* ---- orders -----------------------------------------------------------------------------------*/

static void a_guest_s_descriptors_are_found_wherever_they_are(void **state)
{
    static struct worker_order order = {.kind = ORDER_START};
    struct worker_start *start = &order.start;
    int *fds[WORKER_ORDER_FDS];
    const int *wanted[] = {&start->counts_fd,      &start->hv_guest.fds[0], &start->hv_guest.fds[1],
                           &start->disk[0].raw.fd, &start->serial[0].fd,    &start->serial[1].fd,
                           &start->nic[3].fd,      &start->nic[3].keep_fd,  &start->nic[3].rom_fd};

    start->hv_guest.count = 2;
    start->n_disks = 1;
    strcpy(start->nic[3].model, "e1000");
    assert_int_equal(worker_order_fds(&order, fds), sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_ptr_equal(fds[i], wanted[i]);
}

static void a_pv_disk_s_descriptors_are_found(void **state)
{
    static struct worker_order order = {.kind = ORDER_REQUEST, .request.op = VM_PV_OPEN};
    struct vm_pv_params *params = &order.request.pv_open;
    int *fds[WORKER_ORDER_FDS];
    const int *wanted[] = {&params->disk.raw.fd, &params->channels_fd, &params->counts_fd,
                           &params->grants_fd[0], &params->grants_fd[1]};

    assert_int_equal(worker_order_fds(&order, fds), sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_ptr_equal(fds[i], wanted[i]);
    for (unsigned op = VM_PV_CONNECT; op <= VM_PV_CLOSE; op++) {
        order.request.op = op;
        assert_int_equal(worker_order_fds(&order, fds), 0);
    }
    order.request.op = VM_PV_HEAR;
    assert_int_equal(worker_order_fds(&order, fds), 1);
    assert_ptr_equal(fds[0], &order.request.pv_hear.fd);
}

static void the_largest_guest_fits_into_one_message(void **state)
{
    static struct worker_order order = {.kind = ORDER_START};
    int *fds[WORKER_ORDER_FDS];

    order.start.hv_guest.count = HV_PACKED_FDS;
    order.start.n_disks = MACHINE_IDE_DRIVES;
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        strcpy(order.start.nic[i].model, "e1000");
    assert_int_equal(worker_order_fds(&order, fds), WORKER_ORDER_FDS);
    assert_true(worker_order_size(ORDER_START) < 64 * 1024); /* of a socket's 208 KiB */
}

static void an_order_that_is_not_sent_closes_its_descriptors(void **state)
{
    static struct worker_order order = {.kind = ORDER_SETUP};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    order.setup.counts_fd = fd;
    worker_order_discard(&order);
    assert_int_equal(order.setup.counts_fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_of_another_length_is_none),
        cmocka_unit_test(a_kind_that_does_not_exist_is_none),
        cmocka_unit_test(an_error_is_one_of_the_system_s),
        cmocka_unit_test(a_number_lies_within_what_there_is),
        cmocka_unit_test(news_are_of_a_pv_disk_and_an_error_where_there_is_one),
        cmocka_unit_test(what_a_program_has_said_is_an_image_that_can_be),
        cmocka_unit_test(text_ends_and_is_printable),
        cmocka_unit_test(a_truth_value_is_one),
        cmocka_unit_test(a_line_is_no_more_urgent_than_a_device_s),
        cmocka_unit_test(counts_are_copied_word_by_word),
        cmocka_unit_test(counts_of_a_captured_worker_stay_within_bounds),
        cmocka_unit_test(devices_that_a_guest_does_not_have_are_not_copied),
        cmocka_unit_test(a_guest_s_descriptors_are_found_wherever_they_are),
        cmocka_unit_test(a_pv_disk_s_descriptors_are_found),
        cmocka_unit_test(the_largest_guest_fits_into_one_message),
        cmocka_unit_test(an_order_that_is_not_sent_closes_its_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
