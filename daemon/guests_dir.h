/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder with the guests' files, watched: a file that is new or has changed is checked, and
 * what came of that is logged and listed. One that describes a secondary device model is enough for
 * a domain of its name: it is attached when the domain appears, or the file does.
 *
 * A domain's guest is attached by itself once: if that fails it is tried again when the file has
 * changed, and if somebody detaches it, it stays so.
 *
 * The main thread's. Files are their administrator's: one who fills the folder fills this list.
 */
#ifndef IOEMUD_DAEMON_GUESTS_DIR_H
#define IOEMUD_DAEMON_GUESTS_DIR_H

#include <jansson.h>
#include <stdint.h>

#include "devices/backend/loop.h"

struct daemon;
struct guest;
struct guest_config;
struct config_error;
struct described_file;

struct guests_dir {
    int fd;                   /* inotify's, while there is a watch */
    int wd;                   /* of the folder; -1: it does not exist */
    struct loop_watch *watch; /* of fd; NULL: none */
    struct described_file *files;
};

/* Begins to watch what the configuration says, and looks at all that is there. A folder that cannot
 * be watched is logged; `reload` looks at it again. */
void guests_dir_open(struct daemon *daemon);
void guests_dir_close(struct daemon *daemon);
/* Looks at all of it again; also if the configuration names another folder by now. */
void guests_dir_refresh(struct daemon *daemon);

/* A domain has appeared: guests are attached whose file and domain are there. */
void guests_dir_domains(struct daemon *daemon);
/* A former daemon served this guest of the domain: it finds its devices reset. */
void guests_dir_orphan(struct daemon *daemon, const char *name, uint32_t domid);
/* On somebody's wish: it is not attached by itself again. */
void guests_dir_detached(struct daemon *daemon, const struct guest *guest);

/* As `list` has it: an array; NULL when memory is short. */
json_t *guests_dir_list(const struct daemon *daemon);

/* The names, without ".json", of the files in `dir`, in the order of the alphabet; a folder that
 * does not exist has none. Returns how many, or -errno; each and the array are the caller's. */
int guests_dir_names(const char *dir, char ***ret_names);
/* Reads the file, and checks it as far as it stands for itself: a primary's of Xen may be completed
 * by xl. As guest_config_load(). */
int guests_dir_load(const char *path, struct guest_config *ret_config,
                    struct config_error *ret_error);

#endif
