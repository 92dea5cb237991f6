/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration files of any bytes: taken or refused with a message, never anything else. What is
 * taken must keep its promises: in bounds, and the same after a way to JSON and back.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char where[] = "guests.d/fuzz.json";

static void assert_message(const struct config_error *error)
{
    size_t length = strnlen(error->text, sizeof(error->text));

    assert(length > 0 && length < sizeof(error->text));
    for (size_t i = 0; i < length; i++)
        assert(error->text[i] >= ' ' && error->text[i] <= '~');
}

static void try_daemon(const char *text, size_t size)
{
    struct daemon_config config;
    struct config_error error = {""};

    if (daemon_config_parse(text, size, "ioemud.json", &config, &error)) {
        assert_message(&error);
        return;
    }
    assert(config.workers <= CONFIG_WORKERS_MAX && config.pool_pages && config.aio_depth);
    assert(config.control_socket[0] == '/' && config.stats_socket[0] == '/');
    assert(config.guests_dir[0] == '/' && config.run_dir[0] == '/');
    daemon_config_finish(&config);
}

static void assert_bounds(const struct guest_config *config)
{
    assert(config->n_disks <= CONFIG_DISKS && config->n_serials <= CONFIG_SERIALS);
    assert(guest_config_name_is_good(config->name));
    assert(config->budget > 0 && config->map_limit_mib > 0 && config->slot < 32);
    for (unsigned i = 0; i < config->n_disks; i++) {
        const struct disk_config *disk = &config->disk[i];

        assert(disk->vdev[0] == 'h' && disk->vdev[1] == 'd' && disk->vdev[2] >= 'a' &&
               disk->vdev[2] <= 'd' && !disk->vdev[3]);
        assert(!disk->path[0] || disk->path[0] == '/');
        assert(disk->size % 512 == 0);
        for (unsigned j = 0; j < i; j++)
            assert(strcmp(disk->vdev, config->disk[j].vdev) != 0);
    }
}

static void assert_nics(const struct guest_config *config)
{
    assert(config->n_nics <= CONFIG_NICS);
    for (unsigned i = 0; i < config->n_nics; i++) {
        const struct nic_config *nic = &config->nic[i];

        assert(nic->devid < CONFIG_NICS && nic->slot < 32 && nic->n_forwards <= CONFIG_FORWARDS);
        assert(strlen(nic->ifname) < sizeof(nic->ifname));
        assert(!nic->path[0] || nic->path[0] == '/');
        assert(!(nic->mac[0] & 1));
        for (unsigned j = 0; j < nic->n_forwards; j++)
            assert(nic->forward[j].port && nic->forward[j].port < 65536 &&
                   nic->forward[j].guest_port && nic->forward[j].guest_port < 65536);
        for (unsigned j = 0; j < i; j++)
            assert(nic->devid != config->nic[j].devid);
    }
}

static void try_guest(const char *text, size_t size)
{
    struct guest_config config, merged, again;
    struct config_error error = {""};

    if (guest_config_parse(text, size, where, &config, &error)) {
        assert_message(&error);
        return;
    }
    assert_bounds(&config);
    assert_nics(&config);
    /* A configuration merged over itself is itself, if it is complete at all. */
    if (guest_config_merge(&config, &config, &merged, &error) == 0) {
        json_t *object = guest_config_to_json(&merged);

        assert_bounds(&merged);
        assert(guest_config_check(&config, where, &error) == 0);
        assert(object && guest_config_from_json(object, where, &again, &error) == 0);

        json_t *object_again = guest_config_to_json(&again), *first = guest_config_to_json(&config);

        assert(json_equal(object, object_again) && json_equal(object, first));
        json_decref(object);
        json_decref(object_again);
        json_decref(first);
        guest_config_finish(&merged);
        guest_config_finish(&again);
    } else {
        assert_message(&error);
    }
    guest_config_finish(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_daemon((const char *)data, size);
    try_guest((const char *)data, size);
    return 0;
}
