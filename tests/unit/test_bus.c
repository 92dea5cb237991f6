/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A device that answers every byte with its tag and offset, and writes its accesses down. */
struct probe {
    uint8_t tag;
    char trace[256];
};

static uint64_t probe_read(void *dev, uint64_t offset, unsigned size)
{
    struct probe *probe = dev;
    size_t used = strlen(probe->trace);
    uint64_t value = 0;

    snprintf(probe->trace + used, sizeof(probe->trace) - used, "r%u@%llx ", size,
             (unsigned long long)offset);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(uint8_t)(probe->tag + offset + i) << (8 * i);
    return value;
}

static void probe_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = dev;
    size_t used = strlen(probe->trace);

    snprintf(probe->trace + used, sizeof(probe->trace) - used, "w%u@%llx=%llx ", size,
             (unsigned long long)offset, (unsigned long long)value);
}

static const struct bus_io_ops wide_ops = {.read = probe_read, .write = probe_write, .max_size = 8};
static const struct bus_io_ops byte_ops = {.read = probe_read, .write = probe_write};

static struct bus *new_bus(void)
{
    struct bus *bus;

    assert_int_equal(bus_create(NULL, NULL, &bus), 0);
    return bus;
}

static void an_access_finds_its_range_among_many(void **state)
{
    static struct probe probes[200];
    struct bus *bus = new_bus();

    memset(probes, 0, sizeof(probes));
    /* In an order that is neither rising nor falling, so that insertion has to sort. */
    for (unsigned i = 0; i < 200; i++) {
        unsigned at = i * 77 % 200;
        probes[at].tag = (uint8_t)at;
        assert_int_equal(bus_claim(bus, BUS_PORT, 0x100 + at * 16, 8, &byte_ops, &probes[at]), 0);
    }
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(bus_read(bus, BUS_PORT, 0x100 + i * 16, 1), i);
        assert_int_equal(bus_read(bus, BUS_PORT, 0x107 + i * 16, 1), (uint8_t)(i + 7));
        assert_int_equal(bus_read(bus, BUS_PORT, 0x108 + i * 16, 1), 0xff);
    }
    for (unsigned i = 0; i < 200; i += 2)
        bus_release(bus, BUS_PORT, 0x100 + i * 16);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(bus_read(bus, BUS_PORT, 0x100 + i * 16, 1), i % 2 ? i : 0xff);
    for (unsigned i = 1; i < 200; i += 2)
        bus_release(bus, BUS_PORT, 0x100 + i * 16);
    bus_destroy(bus);
}

static void what_nobody_claims_reads_all_ones_and_swallows_writes(void **state)
{
    struct bus *bus = new_bus();

    assert_int_equal(bus_read(bus, BUS_PORT, 0x300, 1), 0xff);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x300, 2), 0xffff);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x300, 4), 0xffffffff);
    assert_true(bus_read(bus, BUS_MMIO, UINT64_MAX, 8) == UINT64_MAX);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x123456789, 1), 0xff);
    bus_write(bus, BUS_PORT, 0x300, 4, 1);
    bus_write(bus, BUS_MMIO, UINT64_MAX - 2, 8, 1);
    bus_destroy(bus);
}

static void overlaps_and_ranges_outside_the_space_are_refused(void **state)
{
    struct probe probe = {0};
    struct bus *bus = new_bus();

    assert_int_equal(bus_claim(bus, BUS_PORT, 0x100, 0x10, &byte_ops, &probe), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x10f, 1, &byte_ops, &probe), -EEXIST);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0xff, 2, &byte_ops, &probe), -EEXIST);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0, 0x10000, &byte_ops, &probe), -EEXIST);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0xfff0, 0x11, &byte_ops, &probe), -EINVAL);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x10000, 1, &byte_ops, &probe), -EINVAL);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x200, 0, &byte_ops, &probe), -EINVAL);
    assert_int_equal(bus_claim(bus, BUS_MMIO, UINT64_MAX, 2, &byte_ops, &probe), -EINVAL);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x110, 1, &byte_ops, &probe), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0xff, 1, &byte_ops, &probe), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0xfff0, 0x10, &byte_ops, &probe), 0);
    assert_int_equal(bus_claim(bus, BUS_MMIO, UINT64_MAX, 1, &byte_ops, &probe), 0);
    bus_release(bus, BUS_PORT, 0x100);
    bus_release(bus, BUS_PORT, 0x110);
    bus_release(bus, BUS_PORT, 0xff);
    bus_release(bus, BUS_PORT, 0xfff0);
    bus_release(bus, BUS_MMIO, UINT64_MAX);
    bus_destroy(bus);
}

static void an_access_across_ranges_is_split_into_bytes(void **state)
{
    struct probe low = {.tag = 0x10}, high = {.tag = 0x80};
    struct bus *bus = new_bus();

    bus_claim(bus, BUS_PORT, 0x100, 2, &wide_ops, &low);
    bus_claim(bus, BUS_PORT, 0x102, 1, &wide_ops, &high);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x100, 4), 0xff801110);
    assert_string_equal(low.trace, "r1@0 r1@1 ");
    assert_string_equal(high.trace, "r1@0 ");

    low.trace[0] = high.trace[0] = '\0';
    bus_write(bus, BUS_PORT, 0xff, 4, 0x44332211);
    assert_string_equal(low.trace, "w1@0=22 w1@1=33 ");
    assert_string_equal(high.trace, "w1@0=44 ");
    bus_release(bus, BUS_PORT, 0x100);
    bus_release(bus, BUS_PORT, 0x102);
    bus_destroy(bus);
}

static void an_access_wider_than_the_device_takes_is_split(void **state)
{
    struct probe probe = {.tag = 1};
    struct bus *bus = new_bus();

    bus_claim(bus, BUS_PORT, 0x100, 4, &byte_ops, &probe);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x100, 2), 0x0201);
    assert_string_equal(probe.trace, "r1@0 r1@1 ");
    bus_release(bus, BUS_PORT, 0x100);

    probe.trace[0] = '\0';
    bus_claim(bus, BUS_MMIO, 0x1000, 8, &wide_ops, &probe);
    assert_true(bus_read(bus, BUS_MMIO, 0x1000, 8) == 0x0807060504030201);
    bus_write(bus, BUS_MMIO, 0x1004, 2, 0xffff1234);
    assert_string_equal(probe.trace, "r8@0 w2@4=1234 ");
    bus_release(bus, BUS_MMIO, 0x1000);
    bus_destroy(bus);
}

static void an_access_at_the_top_does_not_wrap_to_the_bottom(void **state)
{
    struct probe bottom = {.tag = 1}, top = {.tag = 9};
    struct bus *bus = new_bus();

    bus_claim(bus, BUS_PORT, 0, 1, &byte_ops, &bottom);
    bus_claim(bus, BUS_PORT, 0xffff, 1, &byte_ops, &top);
    bus_claim(bus, BUS_MMIO, 0, 1, &byte_ops, &bottom);
    bus_claim(bus, BUS_MMIO, UINT64_MAX, 1, &byte_ops, &top);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xffff, 2), 0xff09);
    assert_int_equal(bus_read(bus, BUS_MMIO, UINT64_MAX, 2), 0xff09);
    bus_write(bus, BUS_MMIO, UINT64_MAX, 4, 0x01020304);
    assert_string_equal(bottom.trace, "");
    bus_release(bus, BUS_PORT, 0);
    bus_release(bus, BUS_PORT, 0xffff);
    bus_release(bus, BUS_MMIO, 0);
    bus_release(bus, BUS_MMIO, UINT64_MAX);
    bus_destroy(bus);
}

/* A data port with a buffer of four elements, then elements one by one. */
struct port {
    unsigned left;
    uint16_t next;
    unsigned singles;
    uint8_t got[64];
    unsigned n_got;
};

static uint64_t port_read(void *dev, uint64_t offset, unsigned size)
{
    struct port *port = dev;

    port->singles++;
    port->left = 4;
    return port->next++;
}

static uint32_t port_read_block(void *dev, uint64_t offset, unsigned size, void *buf,
                                uint32_t count)
{
    struct port *port = dev;
    uint32_t n = count < port->left ? count : port->left;

    for (uint32_t i = 0; i < n; i++, port->next++) {
        ((uint8_t *)buf)[2 * i] = (uint8_t)port->next;
        ((uint8_t *)buf)[2 * i + 1] = (uint8_t)(port->next >> 8);
    }
    port->left -= n;
    return n;
}

static void port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct port *port = dev;

    port->singles++;
    port->left = 4;
    port->got[port->n_got++] = (uint8_t)value;
    port->got[port->n_got++] = (uint8_t)(value >> 8);
}

static uint32_t port_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                                 uint32_t count)
{
    struct port *port = dev;
    uint32_t n = count < port->left ? count : port->left;

    memcpy(port->got + port->n_got, buf, n * 2);
    port->n_got += n * 2;
    port->left -= n;
    return n;
}

static const struct bus_io_ops port_ops = {.read = port_read,
                                           .write = port_write,
                                           .read_block = port_read_block,
                                           .write_block = port_write_block,
                                           .max_size = 2};

static void string_io_moves_blocks_and_falls_back_to_elements(void **state)
{
    struct port port = {.left = 3, .next = 0x0100};
    struct bus *bus = new_bus();
    uint8_t buf[22], expected[22];

    bus_claim(bus, BUS_PORT, 0x1f0, 2, &port_ops, &port);
    bus_port_read_block(bus, 0x1f0, 2, buf, 11);
    for (unsigned i = 0; i < 11; i++) {
        assert_int_equal(buf[2 * i], i);
        assert_int_equal(buf[2 * i + 1], 1);
        expected[2 * i] = (uint8_t)i;
        expected[2 * i + 1] = (uint8_t)~i;
    }
    assert_int_equal(port.singles, 2); /* 3 + 1 + 4 + 1 + 2 */

    port = (struct port){.left = 3};
    bus_port_write_block(bus, 0x1f0, 2, expected, 11);
    assert_int_equal(port.n_got, 22);
    assert_memory_equal(port.got, expected, 22);
    bus_release(bus, BUS_PORT, 0x1f0);
    bus_destroy(bus);
}

static void string_io_to_a_plain_or_absent_port_goes_element_by_element(void **state)
{
    struct probe probe = {.tag = 0x20};
    struct bus *bus = new_bus();
    uint8_t buf[6];

    bus_claim(bus, BUS_PORT, 0x60, 1, &byte_ops, &probe);
    bus_port_read_block(bus, 0x60, 1, buf, 3);
    assert_string_equal(probe.trace, "r1@0 r1@0 r1@0 ");
    bus_port_read_block(bus, 0x80, 2, buf, 3);
    assert_memory_equal(buf, "\xff\xff\xff\xff\xff\xff", 6);
    probe.trace[0] = '\0';
    bus_port_write_block(bus, 0x5f, 2, "\x01\x02\x03\x04", 2);
    assert_string_equal(probe.trace, "w1@0=2 w1@0=4 ");
    bus_release(bus, BUS_PORT, 0x60);
    bus_destroy(bus);
}

struct hypervisor {
    char trace[256];
    int refuse;
};

static int hv_claim(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct hypervisor *hv = ctx;
    size_t used = strlen(hv->trace);

    if (hv->refuse)
        return hv->refuse;
    snprintf(hv->trace + used, sizeof(hv->trace) - used, "+%d:%llx-%llx ", space,
             (unsigned long long)first, (unsigned long long)last);
    return 0;
}

static void hv_release(void *ctx, enum bus_space space, uint64_t first, uint64_t last)
{
    struct hypervisor *hv = ctx;
    size_t used = strlen(hv->trace);

    snprintf(hv->trace + used, sizeof(hv->trace) - used, "-%d:%llx-%llx ", space,
             (unsigned long long)first, (unsigned long long)last);
}

static int hv_claim_pci(void *ctx, uint8_t devfn)
{
    return hv_claim(ctx, BUS_SPACES, devfn, devfn);
}

static void hv_release_pci(void *ctx, uint8_t devfn)
{
    hv_release(ctx, BUS_SPACES, devfn, devfn);
}

static void the_listener_hears_every_claim_and_can_refuse(void **state)
{
    static const struct bus_listener listener = {.claim = hv_claim,
                                                 .release = hv_release,
                                                 .claim_pci = hv_claim_pci,
                                                 .release_pci = hv_release_pci};
    struct hypervisor hv = {.refuse = -ENOSPC};
    struct probe probe = {0};
    struct bus *bus;

    assert_int_equal(bus_create(&listener, &hv, &bus), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x70, 2, &byte_ops, &probe), -ENOSPC);
    assert_int_equal(bus_claim_pci(bus, 8, NULL), -ENOSPC);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x70, 1), 0xff);
    assert_string_equal(probe.trace, "");
    hv.refuse = 0;
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x70, 2, &byte_ops, &probe), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x71, 2, &byte_ops, &probe), -EEXIST);
    bus_release(bus, BUS_PORT, 0x70);
    assert_string_equal(hv.trace, "+0:70-71 -0:70-71 ");
    bus_destroy(bus);
}

static void absent_pci_functions_read_all_ones(void **state)
{
    struct bus *bus = new_bus();

    assert_int_equal(bus_pci_read(bus, 0x08, 0, 4), 0xffffffff);
    assert_int_equal(bus_pci_read(bus, 0x08, 0, 2), 0xffff);
    assert_int_equal(bus_pci_read(bus, 0xffffffff, 0xffffffff, 1), 0xff);
    assert_int_equal(bus_pci_read(bus, 0x08, 0, 8), 0xffffffff);
    bus_pci_write(bus, 0x08, 4, 2, 7);
    assert_null(bus_pci_func(bus, 8));
    bus_destroy(bus);
}

static uint32_t five_bytes(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    *ret_write = *(const bool *)dev;
    memcpy(buf, "12345", room < 5 ? room : 5);
    return 5;
}

static void data_ports_are_listed_and_their_windows_found(void **state)
{
    static const struct bus_io_ops first_ops = {.window = five_bytes};
    static const struct bus_io_ops later_ops = {.window = five_bytes, .data_port = 0x10};
    struct bus *bus = new_bus();
    uint32_t changes = bus_port_changes(bus);
    bool write = false, writes = true, reads = false;
    uint16_t ports[3];
    uint8_t buf[8] = "";

    assert_int_equal(bus_data_ports(bus, ports, 3), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x300, 0x20, &later_ops, &writes), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x1f0, 8, &first_ops, &reads), 0);
    assert_int_equal(bus_claim(bus, BUS_PORT, 0x500, 0x10, &later_ops, &reads), 0); /* too short */
    assert_int_not_equal(bus_port_changes(bus), changes);
    assert_int_equal(bus_data_ports(bus, ports, 3), 2);
    assert_int_equal(ports[0], 0x1f0);
    assert_int_equal(ports[1], 0x310);
    assert_int_equal(bus_data_ports(bus, ports, 1), 1);

    assert_int_equal(bus_port_window(bus, 0x310, &write, buf, 0), 5);
    assert_true(write);
    assert_int_equal(bus_port_window(bus, 0x1f0, &write, buf, 3), 5);
    assert_false(write);
    assert_memory_equal(buf, "123\0", 4);
    assert_int_equal(bus_port_window(bus, 0x1f1, &write, buf, 3), 0);
    assert_int_equal(bus_port_window(bus, 0x300, &write, buf, 3), 0);
    assert_int_equal(bus_port_window(bus, 0x80, &write, buf, 3), 0);
    changes = bus_port_changes(bus);
    bus_release(bus, BUS_PORT, 0x300);
    assert_int_not_equal(bus_port_changes(bus), changes);
    assert_int_equal(bus_data_ports(bus, ports, 3), 1);
    bus_release(bus, BUS_PORT, 0x1f0);
    bus_release(bus, BUS_PORT, 0x500);
    bus_destroy(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_access_finds_its_range_among_many),
        cmocka_unit_test(what_nobody_claims_reads_all_ones_and_swallows_writes),
        cmocka_unit_test(overlaps_and_ranges_outside_the_space_are_refused),
        cmocka_unit_test(an_access_across_ranges_is_split_into_bytes),
        cmocka_unit_test(an_access_wider_than_the_device_takes_is_split),
        cmocka_unit_test(an_access_at_the_top_does_not_wrap_to_the_bottom),
        cmocka_unit_test(string_io_moves_blocks_and_falls_back_to_elements),
        cmocka_unit_test(string_io_to_a_plain_or_absent_port_goes_element_by_element),
        cmocka_unit_test(the_listener_hears_every_claim_and_can_refuse),
        cmocka_unit_test(absent_pci_functions_read_all_ones),
        cmocka_unit_test(data_ports_are_listed_and_their_windows_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
