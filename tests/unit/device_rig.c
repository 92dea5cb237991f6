/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/device_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STATE_MAX 8192

void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    fake_host_init(&rig->fake, 64 << 10);
    assert_int_equal(bus_create(NULL, NULL, &rig->bus), 0);
    rig->spec.vcpus = 1;
    rig->spec.platform = true;
    rig->env = (struct dev_env){.host = &rig->fake.host, .bus = rig->bus, .spec = &rig->spec};
}

void rig_create(struct rig *rig, int (*create)(const struct dev_env *env, struct dev **ret_dev))
{
    rig->create = create;
    assert_int_equal(create(&rig->env, &rig->dev), 0);
}

void rig_finish(struct rig *rig)
{
    if (rig->dev)
        rig->dev->ops->destroy(rig->dev);
    bus_destroy(rig->bus);
    fake_host_finish(&rig->fake);
}

static size_t save(struct rig *rig, uint8_t *buf)
{
    struct state_writer writer;

    state_writer_init(&writer, buf, STATE_MAX);
    state_begin(&writer, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
    rig->dev->ops->save(rig->dev, &writer);
    state_end(&writer);
    assert_int_equal(writer.error, 0);
    return writer.pos;
}

static int load(struct rig *rig, const uint8_t *buf, size_t len)
{
    struct state_reader reader;

    rig->dev->ops->destroy(rig->dev);
    assert_int_equal(rig->create(&rig->env, &rig->dev), 0);
    state_reader_init(&reader, buf, len);
    uint32_t version =
        state_open(&reader, rig->dev->ops->model, rig->dev->instance, rig->dev->ops->version);
    if (version) {
        rig->dev->ops->load(rig->dev, &reader, version);
        state_close(&reader);
    }
    return reader.error;
}

void rig_reload(struct rig *rig)
{
    uint8_t before[STATE_MAX], after[STATE_MAX];
    size_t len = save(rig, before);

    assert_int_equal(load(rig, before, len), 0);
    assert_int_equal(save(rig, after), len);
    assert_memory_equal(before, after, len);
}

void rig_hostile_states(struct rig *rig, void (*poke)(struct rig *rig))
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t good[STATE_MAX], bad[STATE_MAX], again[STATE_MAX];
    size_t len = save(rig, good);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(load(rig, good, cut), -EBADMSG);
    for (size_t at = 0; at < len; at++) {
        for (unsigned i = 0; i < sizeof(values); i++) {
            memcpy(bad, good, len);
            bad[at] = values[i];
            int err = load(rig, bad, len);
            assert_true(!err || err == -EBADMSG);
            if (err)
                continue;
            save(rig, again);
            poke(rig);
        }
    }
    assert_int_equal(load(rig, good, len), 0);
}

uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size)
{
    return bus_read(rig->bus, BUS_PORT, port, size);
}

void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value)
{
    bus_write(rig->bus, BUS_PORT, port, size, value);
}
