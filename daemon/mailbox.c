/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/mailbox.h"

static void on_wake(struct ev_loop *ev, ev_async *wake, int revents)
{
    struct mailbox *mailbox = wake->data;
    struct mail *mail;

    pthread_mutex_lock(&mailbox->lock);
    mail = mailbox->first;
    mailbox->first = NULL;
    mailbox->tail = &mailbox->first;
    pthread_mutex_unlock(&mailbox->lock);
    while (mail) {
        struct mail *next = mail->next; /* running it may post it back */

        mail->run(mail);
        mail = next;
    }
}

void mailbox_init(struct mailbox *mailbox, struct ev_loop *ev)
{
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->first = NULL;
    mailbox->tail = &mailbox->first;
    mailbox->ev = ev;
    ev_async_init(&mailbox->wake, on_wake);
    mailbox->wake.data = mailbox;
    ev_async_start(ev, &mailbox->wake);
}

void mailbox_finish(struct mailbox *mailbox)
{
    ev_async_stop(mailbox->ev, &mailbox->wake);
    pthread_mutex_destroy(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->tail = mail;
    mailbox->tail = &mail->next;
    pthread_mutex_unlock(&mailbox->lock);
    ev_async_send(mailbox->ev, &mailbox->wake);
}
