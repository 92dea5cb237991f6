/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP monitor with a client, and the guest that it speaks for. */
#ifndef IOEMUD_TESTS_QMP_RIG_H
#define IOEMUD_TESTS_QMP_RIG_H

#include <jansson.h>

#include "daemon/qmp.h"
#include "tests/unit/fake_loop.h"

#define QMP_RIG_VCPUS 4u

struct qmp_rig {
    struct fake_loop *loop;
    struct qmp *qmp;
    char path[64];
    int client; /* connected */
    bool running, prelaunch, destroy_in_callback;
    unsigned online; /* bit per vCPU */
    unsigned refusals;
    char refused[512];
    unsigned media; /* changes asked for */
    char medium[128];
    struct qmp_call *call;
    bool inline_answer;
};

extern const struct qmp_ops qmp_rig_ops; /* their context is a struct qmp_rig */

int qmp_rig_setup(void **state);
int qmp_rig_teardown(void **state);

/* Another client. */
int qmp_rig_dial(struct qmp_rig *f);
/* What has come for `fd`, in a buffer that the next call reuses; NULL: disconnected. */
const char *qmp_rig_hear(struct qmp_rig *f, int fd);
/* The client says something; what it hears then. */
const char *qmp_rig_talk(struct qmp_rig *f, const char *text);
void qmp_rig_send_fds(int sock, const char *text, const int *fds, unsigned n);
/* After the greeting: commands are taken from now on. */
void qmp_rig_negotiate(struct qmp_rig *f);
/* The answer to one command as JSON, checked to be one line that ends as libxl wants it. */
json_t *qmp_rig_ask(struct qmp_rig *f, const char *command);
/* It is an error of this class, and `desc` is in its description. */
void assert_fails(struct qmp_rig *f, const char *command, const char *class, const char *desc);

#endif
