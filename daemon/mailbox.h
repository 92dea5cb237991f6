/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that threads of the daemon share: a queue of messages each. A message is embedded in its
 * owner, belongs to the receiver from posting until it is posted back, and runs on the receiver's
 * thread.
 */
#ifndef IOEMUD_DAEMON_MAILBOX_H
#define IOEMUD_DAEMON_MAILBOX_H

#include <ev.h>
#include <pthread.h>

struct mail {
    void (*run)(struct mail *mail);
    struct mail *next;
};

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, **tail;
    struct ev_loop *ev;
    ev_async wake;
};

/* The receiver's loop. The watcher keeps ev_run() alive. */
void mailbox_init(struct mailbox *mailbox, struct ev_loop *ev);
void mailbox_finish(struct mailbox *mailbox);
/* From any thread. Messages run in the order in which they were posted. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

#endif
