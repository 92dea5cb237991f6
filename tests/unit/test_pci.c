/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices/state.h"

struct card {
    struct pci_func func;
    uint32_t written_reg, written_old;
    unsigned written_size, writes;
};

static uint64_t card_read(void *dev, uint64_t offset, unsigned size)
{
    return 0x40 + offset;
}

static const struct bus_io_ops card_ops = {.read = card_read, .max_size = 4};

static void card_written(void *dev, uint32_t reg, unsigned size, uint32_t old)
{
    struct card *card = dev;

    card->written_reg = reg;
    card->written_size = size;
    card->written_old = old;
    card->writes++;
}

static const struct pci_id card_id = {.vendor = 0x5853,
                                      .device = 0x0001,
                                      .subvendor = 0x5853,
                                      .subdevice = 0x0001,
                                      .revision = 1,
                                      .class_code = 0xff8000,
                                      .interrupt_pin = 1};

static void card_init(struct card *card, struct bus *bus, uint8_t devfn)
{
    memset(card, 0, sizeof(*card));
    card->func.dev = card;
    card->func.written = card_written;
    card->func.bar[0] = (struct pci_bar){.type = PCI_BAR_IO, .size = 0x100, .ops = &card_ops};
    card->func.bar[1] =
        (struct pci_bar){.type = PCI_BAR_MEM_PREFETCH, .size = 0x1000000, .ops = &card_ops};
    assert_int_equal(pci_func_init(&card->func, bus, devfn, &card_id), 0);
}

static struct bus *new_bus(void)
{
    struct bus *bus;

    assert_int_equal(bus_create(NULL, NULL, &bus), 0);
    return bus;
}

#define SBDF PCI_DEVFN(2, 0)

static void the_header_identifies_the_function(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_VENDOR_ID, 4), 0x00015853);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_REVISION_ID, 4), 0xff800001);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x00015853);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_HEADER_TYPE, 1), 0);
    bus_pci_write(bus, SBDF, PCI_VENDOR_ID, 4, 0);
    bus_pci_write(bus, SBDF, PCI_REVISION_ID, 4, 0);
    bus_pci_write(bus, SBDF, PCI_INTERRUPT_PIN, 1, 4);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_VENDOR_ID, 4), 0x00015853);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_REVISION_ID, 4), 0xff800001);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_INTERRUPT_PIN, 1), 1);
    bus_pci_write(bus, SBDF, PCI_INTERRUPT_LINE, 1, 11);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_INTERRUPT_LINE, 2), 0x010b);
    pci_func_finish(&card.func);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_VENDOR_ID, 4), 0xffffffff);
    bus_destroy(bus);
}

static void sizing_a_bar_tells_its_size_and_type(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0, 4), 0xffffff01);
    bus_pci_write(bus, SBDF, PCI_BAR0 + 4, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0 + 4, 4), 0xff000008);
    bus_pci_write(bus, SBDF, PCI_BAR0 + 8, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0 + 8, 4), 0);
    bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xfffff800);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_ROM, 4), 0);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void a_bar_decodes_only_while_enabled_and_moves_with_its_address(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, SBDF, PCI_BAR0 + 4, 4, 0xf0000000);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xc004, 1), 0xff);
    bus_pci_write(bus, SBDF, PCI_COMMAND, 2, PCI_COMMAND_IO);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xc004, 1), 0x44);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf0000008, 4), 0xffffffff);
    bus_pci_write(bus, SBDF, PCI_COMMAND, 1, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf0000008, 4), 0x48);

    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0); /* unassigned */
    assert_int_equal(bus_read(bus, BUS_PORT, 0x0004, 1), 0xff);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, SBDF, PCI_BAR0 + 1, 1, 0xd0);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xc004, 1), 0xff);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xd004, 1), 0x44);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xffffffff); /* sizing with decoding left on */
    assert_int_equal(bus_read(bus, BUS_PORT, 0xff04, 1), 0xff);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0x1d000); /* beyond the ports */
    assert_int_equal(bus_read(bus, BUS_PORT, 0xd004, 1), 0xff);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xd000);
    bus_pci_write(bus, SBDF, PCI_COMMAND, 2, 0);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xd004, 1), 0xff);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf0000008, 4), 0xffffffff);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void a_bar_put_upon_another_range_answers_nowhere_until_moved(void **state)
{
    struct bus *bus = new_bus();
    struct card first, second;

    card_init(&first, bus, PCI_DEVFN(2, 0));
    card_init(&second, bus, PCI_DEVFN(3, 0));
    bus_pci_write(bus, PCI_DEVFN(2, 0), PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_IO);
    bus_pci_write(bus, PCI_DEVFN(3, 0), PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, PCI_DEVFN(3, 0), PCI_COMMAND, 2, PCI_COMMAND_IO);
    assert_true(first.func.bar[0].claimed);
    assert_false(second.func.bar[0].claimed);
    bus_pci_write(bus, PCI_DEVFN(3, 0), PCI_BAR0, 4, 0xc100);
    assert_true(second.func.bar[0].claimed);
    pci_func_finish(&second.func);
    pci_func_finish(&first.func);
    bus_destroy(bus);
}

static void device_registers_obey_their_masks(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    pci_func_reg(&card.func, 0x40, 4, 0x000000f0, 0x0000ff0f, 0x00f00000);
    bus_pci_write(bus, SBDF, 0x40, 4, 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, 0x40, 4), 0x0000ffff);
    assert_int_equal(card.written_reg, 0x40);
    assert_int_equal(card.written_size, 4);
    assert_int_equal(card.written_old, 0xf0);
    pci_func_set(&card.func, 0x42, 1, 0xff);
    bus_pci_write(bus, SBDF, 0x42, 1, 0x30);
    assert_int_equal(bus_pci_read(bus, SBDF, 0x42, 1), 0xcf);
    assert_int_equal(card.written_old, 0xff);
    assert_int_equal(pci_func_get(&card.func, 0x41, 2), 0xcfff);
    assert_int_equal(card.writes, 2);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void accesses_outside_configuration_space_do_nothing(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    assert_int_equal(bus_pci_read(bus, SBDF, 0x100, 4), 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, 0xfd, 4), 0xffffffff);
    assert_int_equal(bus_pci_read(bus, SBDF, 0xffffffff, 1), 0xff);
    bus_pci_write(bus, SBDF, 0xfe, 4, 1);
    bus_pci_write(bus, SBDF, UINT32_MAX, 4, 1);
    bus_pci_write(bus, SBDF, 0x40, 3, 1);
    assert_int_equal(card.writes, 0);
    assert_int_equal(bus_pci_read(bus, 0x100 | SBDF, 0, 4), 0xffffffff);
    assert_int_equal(bus_pci_read(bus, 0x10000 | SBDF, 0, 4), 0xffffffff);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void reset_stops_decoding(void **state)
{
    struct bus *bus = new_bus();
    struct card card;

    card_init(&card, bus, SBDF);
    pci_func_reg(&card.func, 0x40, 1, 0x12, 0xff, 0);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, SBDF, PCI_COMMAND, 2, 0xffff);
    bus_pci_write(bus, SBDF, PCI_INTERRUPT_LINE, 1, 5);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_COMMAND, 2), 0x0407);
    pci_func_reset(&card.func);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_COMMAND, 2), 0);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_STATUS, 2), 0x0280);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0, 4), 1);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_INTERRUPT_LINE, 1), 0);
    assert_int_equal(bus_pci_read(bus, SBDF, 0x40, 1), 0x12);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xc004, 1), 0xff);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void saved_bars_decode_again_after_load(void **state)
{
    struct bus *bus = new_bus();
    struct card card;
    struct state_writer writer;
    struct state_reader reader;
    uint8_t buf[300];

    card_init(&card, bus, SBDF);
    bus_pci_write(bus, SBDF, PCI_BAR0, 4, 0xc000);
    bus_pci_write(bus, SBDF, PCI_COMMAND, 2, PCI_COMMAND_IO);
    state_writer_init(&writer, buf, sizeof(buf));
    pci_func_save(&card.func, &writer);
    assert_int_equal(writer.error, 0);
    pci_func_finish(&card.func);

    card_init(&card, bus, SBDF);
    buf[PCI_BAR0] = 0xf2; /* bits that no guest could have set */
    buf[PCI_BAR0 + 4] = 0xff;
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(pci_func_load(&card.func, &reader), 0);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xc004, 1), 0x44);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0, 4), 0xc001);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_BAR0 + 4, 4), 0x8);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void state_of_another_device_is_refused(void **state)
{
    struct bus *bus = new_bus();
    struct card card;
    struct state_writer writer;
    struct state_reader reader;
    uint8_t buf[300];

    card_init(&card, bus, SBDF);
    state_writer_init(&writer, buf, sizeof(buf));
    pci_func_save(&card.func, &writer);
    state_reader_init(&reader, buf, writer.pos - 1);
    assert_int_equal(pci_func_load(&card.func, &reader), -EBADMSG);
    buf[0] ^= 1;
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(pci_func_load(&card.func, &reader), -EBADMSG);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

/* As firmware does: the sum of all bytes is zero, and the IDs are the card's. */
static void an_expansion_rom_of_no_card_is_its_cards_own(void **state)
{
    uint8_t rom[2048] = {0x55, 0xaa, 4, [0x18] = 0x1c, [0x1c] = 'P', 'C', 'I', 'R'};
    struct bus *bus = new_bus();
    struct card card = {.func = {.dev = &card, .rom = rom, .rom_bytes = sizeof(rom)}};
    uint8_t sum = 0;

    for (unsigned i = 0; i < 0x20; i++)
        sum += rom[i];
    rom[2047] = (uint8_t)-sum;
    for (unsigned own = 0; own < 2; own++) {
        sum = 0;
        assert_int_equal(pci_func_init(&card.func, bus, SBDF, &card_id), 0);
        bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xf4000001);
        bus_pci_write(bus, SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000020, 4),
                         own ? 0x43211234u : card_id.vendor | (uint32_t)card_id.device << 16);
        for (unsigned i = 0; i < sizeof(rom); i++)
            sum += (uint8_t)bus_read(bus, BUS_MMIO, 0xf4000000 + i, 1);
        assert_int_equal(sum, own ? 0x34 + 0x12 + 0x21 + 0x43 : 0);
        pci_func_finish(&card.func);
        memcpy(rom + 0x20, "\x34\x12\x21\x43", 4); /* another's stays so */
    }
    rom[0x18] = 0xff; /* a data structure that is not in the image */
    rom[0x19] = 0x07;
    assert_int_equal(pci_func_init(&card.func, bus, SBDF, &card_id), 0);
    pci_func_finish(&card.func);
    card.func.rom_bytes = 3;
    assert_int_equal(pci_func_init(&card.func, bus, SBDF, &card_id), 0);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void an_expansion_rom_decodes_when_both_switches_are_on(void **state)
{
    static const uint8_t rom[5000] = {0x55, 0xaa, 1, 2, 3, 4, 5, 6, [4999] = 0x77};
    struct bus *bus = new_bus();
    struct card card = {.func = {.dev = &card, .rom = rom, .rom_bytes = sizeof(rom)}};
    struct state_writer writer;
    struct state_reader reader;
    uint8_t buf[300];

    assert_int_equal(pci_func_init(&card.func, bus, SBDF, &card_id), 0);
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_ROM, 4), 0);
    bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xfffff800); /* 8 KiB */
    assert_int_equal(bus_pci_read(bus, SBDF, PCI_ROM, 4), 0xffffe000);
    bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xf4000001);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000, 4), 0xffffffff); /* memory is off */
    bus_pci_write(bus, SBDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000, 4), 0x0201aa55);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000, 8), 0x060504030201aa55);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000 + 4999, 2), 0xff77); /* and beyond */
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4001fff, 1), 0xff);
    bus_write(bus, BUS_MMIO, 0xf4000000, 4, 0);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000, 4), 0x0201aa55);
    bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xf5000001); /* it moves */
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf4000000, 1), 0xff);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf5000001, 1), 0xaa);

    state_writer_init(&writer, buf, sizeof(buf));
    pci_func_save(&card.func, &writer);
    bus_pci_write(bus, SBDF, PCI_ROM, 4, 0xf5000000); /* its own switch is off */
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf5000001, 1), 0xff);
    state_reader_init(&reader, buf, writer.pos);
    assert_int_equal(pci_func_load(&card.func, &reader), 0);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf5000001, 1), 0xaa);
    pci_func_reset(&card.func);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xf5000001, 1), 0xff);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

static void a_taken_devfn_is_refused(void **state)
{
    struct bus *bus = new_bus();
    struct card card, other = {.func = {.dev = &other}};

    card_init(&card, bus, SBDF);
    assert_int_equal(pci_func_init(&other.func, bus, SBDF, &card_id), -EEXIST);
    pci_func_finish(&card.func);
    bus_destroy(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_identifies_the_function),
        cmocka_unit_test(sizing_a_bar_tells_its_size_and_type),
        cmocka_unit_test(a_bar_decodes_only_while_enabled_and_moves_with_its_address),
        cmocka_unit_test(a_bar_put_upon_another_range_answers_nowhere_until_moved),
        cmocka_unit_test(device_registers_obey_their_masks),
        cmocka_unit_test(accesses_outside_configuration_space_do_nothing),
        cmocka_unit_test(reset_stops_decoding),
        cmocka_unit_test(saved_bars_decode_again_after_load),
        cmocka_unit_test(state_of_another_device_is_refused),
        cmocka_unit_test(an_expansion_rom_of_no_card_is_its_cards_own),
        cmocka_unit_test(an_expansion_rom_decodes_when_both_switches_are_on),
        cmocka_unit_test(a_taken_devfn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
