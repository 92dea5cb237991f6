/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/qmp_internal.h"

#define READ_CHUNK 4096u
#define READ_TURN  (64u * 1024) /* bytes taken from one client in one turn of the loop */
#define DEPTH_MAX  32u          /* nesting of a command; libxl's deepest is 4 */

/* Whoever is to answer holds it; `client` goes before him if it hangs up. */
struct qmp_call {
    struct qmp_client *client;
    json_t *id; /* NULL: none was given */
    char command[64];
};

static void fd_free(struct qmp_fd *fd)
{
    close(fd->fd);
    free(fd->opaque);
}

static void client_free(struct qmp_client *client)
{
    const struct loop *loop = client->qmp->loop;

    loop->ops->unwatch(loop->ctx, client->watch);
    close(client->fd);
    for (unsigned i = 0; i < client->n_fds; i++)
        fd_free(&client->fds[i]);
    if (client->call)
        client->call->client = NULL;
    free(client->in);
    free(client->out);
    free(client);
}

/* The end of every callback of the loop: closes what died in it. */
static void qmp_leave(struct qmp *qmp)
{
    struct qmp_client **link = &qmp->clients;

    if (--qmp->busy)
        return;
    while (*link) {
        struct qmp_client *client = *link;

        if (!client->dead && !qmp->doomed) {
            link = &client->next;
            continue;
        }
        *link = client->next;
        qmp->n_clients--;
        client_free(client);
    }
    if (qmp->doomed)
        free(qmp);
}

static void client_flush(struct qmp_client *client)
{
    const struct loop *loop = client->qmp->loop;

    while (client->out_sent < client->out_len) {
        ssize_t n = send(client->fd, client->out + client->out_sent,
                         client->out_len - client->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                client->dead = true;
            break;
        }
        client->out_sent += (size_t)n;
    }
    if (client->out_sent == client->out_len)
        client->out_sent = client->out_len = 0;
    if (!client->dead)
        loop->ops->rewatch(loop->ctx, client->watch,
                           (client->call ? 0 : LOOP_READ) | (client->out_len ? LOOP_WRITE : 0));
}

/* Steals `message`. libxl looks for CR LF at the end of a message. */
static void client_send(struct qmp_client *client, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0, need = client->out_len + len + 2;

    json_decref(message);
    if (!text || need > QMP_OUTPUT_MAX) {
        client->dead = true;
        free(text);
        return;
    }
    if (need > client->out_size) {
        char *out = realloc(client->out, need);

        if (!out) {
            client->dead = true;
            free(text);
            return;
        }
        client->out = out;
        client->out_size = need;
    }
    memcpy(client->out + client->out_len, text, len);
    memcpy(client->out + client->out_len + len, "\r\n", 2);
    client->out_len = need;
    free(text);
}

/* Keeps what a client says out of the shape of a log line. */
static void log_refusal(struct qmp *qmp, const char *command, const char *why)
{
    char line[QMP_WHY_SIZE + 96];

    if (!qmp->ops->refused)
        return;
    snprintf(line, sizeof(line), "command=%.64s why=\"%s\"", command, why);
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
    qmp->ops->refused(qmp->ctx, line);
}

static void client_fail(struct qmp_client *client, json_t *id, const char *command,
                        struct qmp_error *error)
{
    json_t *probe = json_string(error->why), *answer;

    if (!probe) /* a quotation was cut inside a UTF-8 sequence, or was none */
        for (char *c = error->why; *c; c++)
            *c = *c & 0x80 ? '?' : *c;
    json_decref(probe);
    answer = json_pack("{s:{s:s, s:s}}", "error", "class",
                       error->class ? error->class : "GenericError", "desc", error->why);

    if (answer && id)
        json_object_set(answer, "id", id);
    log_refusal(client->qmp, command, error->why);
    client_send(client, answer);
}

struct qmp_call *qmp_call_begin(struct qmp_client *client)
{
    struct qmp_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->client = client;
    call->id = json_incref(client->id);
    snprintf(call->command, sizeof(call->command), "%s", client->command);
    client->taken = true;
    client->call = call;
    return call;
}

static void call_free(struct qmp_call *call)
{
    json_decref(call->id);
    free(call);
}

static json_t *execute(struct qmp_client *client, const char *command, json_t *id,
                       const json_t *arguments, struct qmp_error *ret_error)
{
    client->command = command;
    client->id = id;
    return qmp_execute(client, command, arguments, ret_error);
}

static void client_command(struct qmp_client *client, json_t *message)
{
    json_t *id = json_object_get(message, "id");
    json_t *arguments = json_object_get(message, "arguments");
    const char *command = json_string_value(json_object_get(message, "execute"));
    struct qmp_error error = {NULL, ""};
    json_t *result = NULL, *empty = NULL, *answer;

    client->taken = false;
    if (!command)
        snprintf(error.why, sizeof(error.why), "there is no \"execute\" in the command");
    else if (arguments && !json_is_object(arguments))
        snprintf(error.why, sizeof(error.why), "\"arguments\" is not an object");
    else if (arguments || (arguments = empty = json_object()))
        result = execute(client, command, id, arguments, &error);
    json_decref(empty);
    if (client->taken)
        return;
    if (client->qmp->doomed) {
        json_decref(result);
        return;
    }
    if (!result) {
        if (!error.why[0])
            snprintf(error.why, sizeof(error.why), "out of memory");
        client_fail(client, id, command ? command : "-", &error);
        return;
    }
    answer = json_pack("{s:o}", "return", result);
    if (answer && id)
        json_object_set(answer, "id", id);
    client_send(client, answer);
}

/* What stands outside of an object (line ends, blanks) is passed over; anything else there is
 * answered as QEMU does, and passed over too. */
static void client_stray(struct qmp_client *client, char c)
{
    struct qmp_error error = {NULL, "a command must be a JSON object"};

    if (c == '\n' && client->escaped) {
        client->escaped = false;
        client_fail(client, NULL, "-", &error);
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
        client->escaped = true; /* outside an object: this line holds a stray byte */
    }
}

static void client_object(struct qmp_client *client, const char *text, size_t len)
{
    struct qmp_error error = {NULL, ""};
    json_error_t json_error;
    json_t *message = json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_error);

    if (message) {
        client_command(client, message);
        json_decref(message);
        return;
    }
    snprintf(error.why, sizeof(error.why), "invalid JSON: %s", json_error.text);
    client_fail(client, NULL, "-", &error);
}

/* Finds the ends of objects in what has come, each byte looked at once. */
static void client_scan(struct qmp_client *client)
{
    size_t start = 0; /* of the object that is being scanned */

    client->scanning = true;
    while (client->scanned < client->in_len && !client->dead && !client->qmp->doomed &&
           !client->call) {
        char c = client->in[client->scanned++];

        if (client->depth == 0 && c != '{') {
            client_stray(client, c);
            start = client->scanned;
        } else if (client->in_string) {
            if (client->escaped)
                client->escaped = false;
            else if (c == '\\')
                client->escaped = true;
            else
                client->in_string = c != '"';
        } else if (c == '"') {
            client->in_string = true;
        } else if (c == '{' || c == '[') {
            client->escaped = false;
            client->dead = ++client->depth > DEPTH_MAX;
        } else if ((c == '}' || c == ']') && --client->depth == 0) {
            client_object(client, client->in + start, client->scanned - start);
            start = client->scanned;
        }
    }
    client->scanning = false;
    memmove(client->in, client->in + start, client->in_len - start);
    client->in_len -= start;
    client->scanned -= start;
    if (client->in_len >= QMP_LINE_MAX)
        client->dead = true;
}

static void client_take_fds(struct qmp_client *client, struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        size_t n;

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
            if (client->n_fds < QMP_FDS) {
                client->fds[client->n_fds++] = (struct qmp_fd){fd, -1, NULL};
            } else {
                close(fd);
                client->dead = true;
            }
        }
    }
    if (msg->msg_flags & MSG_CTRUNC)
        client->dead = true; /* more than the control buffer holds */
}

/* Returns the bytes that came; 0 when there are none now. */
static size_t client_read(struct qmp_client *client)
{
    union {
        char bytes[CMSG_SPACE(QMP_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    if (client->in_size < client->in_len + READ_CHUNK) {
        size_t size = client->in_len + READ_CHUNK;
        char *in = realloc(client->in, size);

        if (!in) {
            client->dead = true;
            return 0;
        }
        client->in = in;
        client->in_size = size;
    }
    iov.iov_base = client->in + client->in_len;
    iov.iov_len = READ_CHUNK;
    do
        n = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        client->dead = errno != EAGAIN;
        return 0;
    }
    client_take_fds(client, &msg);
    if (n == 0)
        client->dead = true;
    client->in_len += (size_t)n;
    return (size_t)n;
}

static void client_ready(void *arg, unsigned events)
{
    struct qmp_client *client = arg;
    struct qmp *qmp = client->qmp;
    size_t taken = 0, n;

    qmp->busy++;
    client->active_ns = qmp->loop->ops->now_ns(qmp->loop->ctx);
    while (taken < READ_TURN && !client->dead && !qmp->doomed && !client->call &&
           (n = client_read(client))) {
        taken += n;
        client_scan(client);
    }
    if (!qmp->doomed)
        client_flush(client);
    qmp_leave(qmp);
}

int qmp_client_adopt_fd(struct qmp_client *client, json_int_t set, const char *opaque, int *ret_fd)
{
    for (unsigned i = 0; i < client->n_fds; i++) {
        if (client->fds[i].set >= 0)
            continue;
        client->fds[i].set = set;
        client->fds[i].opaque = opaque ? strdup(opaque) : NULL; /* for messages only */
        *ret_fd = client->fds[i].fd;
        return 0;
    }
    return -ENOENT;
}

static const struct qmp_fd *find_set(const struct qmp_client *client, json_int_t set)
{
    for (unsigned i = 0; i < client->n_fds; i++)
        if (client->fds[i].set >= 0 && client->fds[i].set == set)
            return &client->fds[i];
    return NULL;
}

int qmp_client_find_fd(const struct qmp_client *client, json_int_t set, int *ret_fd)
{
    const struct qmp_fd *found = find_set(client, set);

    if (!found)
        return -ENOENT;
    *ret_fd = found->fd;
    return 0;
}

const char *qmp_client_fd_opaque(const struct qmp_client *client, json_int_t set)
{
    const struct qmp_fd *found = find_set(client, set);

    return found && found->opaque ? found->opaque : "";
}

int qmp_client_remove_fd(struct qmp_client *client, json_int_t set, json_int_t fd)
{
    unsigned kept = 0, found = 0;

    for (unsigned i = 0; i < client->n_fds; i++) {
        struct qmp_fd *one = &client->fds[i];

        if (one->set >= 0 && one->set == set && (fd < 0 || one->fd == fd)) {
            fd_free(one);
            found++;
        } else {
            client->fds[kept++] = *one;
        }
    }
    client->n_fds = kept;
    return found ? 0 : -ENOENT;
}

void qmp_finish(struct qmp_call *call, int err, const char *why)
{
    struct qmp_client *client = call->client;
    struct qmp_error error = {NULL, ""};
    json_t *answer;

    if (!client) {
        call_free(call);
        return;
    }
    client->qmp->busy++;
    client->call = NULL;
    if (err) {
        snprintf(error.why, sizeof(error.why), "%s", why);
        client_fail(client, call->id, call->command, &error);
    } else {
        answer = json_pack("{s:{}}", "return");
        if (answer && call->id)
            json_object_set(answer, "id", call->id);
        client_send(client, answer);
    }
    call_free(call);
    if (!client->scanning) { /* or else who scans goes on */
        client_scan(client); /* what came meanwhile */
        if (!client->qmp->doomed)
            client_flush(client);
    }
    qmp_leave(client->qmp);
}

/* Makes room for a newcomer: an errand of libxl must not fail because of clients that only sit. */
static void evict_idlest(struct qmp *qmp)
{
    struct qmp_client *idlest = NULL;

    for (struct qmp_client *client = qmp->clients; client; client = client->next)
        if (!client->dead && (!idlest || client->active_ns < idlest->active_ns))
            idlest = client;
    if (idlest)
        idlest->dead = true;
}

static void client_add(struct qmp *qmp, int fd)
{
    const struct loop *loop = qmp->loop;
    struct qmp_client *client = calloc(1, sizeof(*client));

    if (!client ||
        loop->ops->watch(loop->ctx, fd, LOOP_READ, client_ready, client, &client->watch)) {
        free(client);
        close(fd);
        return;
    }
    if (qmp->n_clients >= QMP_CLIENTS)
        evict_idlest(qmp);
    client->qmp = qmp;
    client->fd = fd;
    client->active_ns = loop->ops->now_ns(loop->ctx);
    client->next = qmp->clients;
    qmp->clients = client;
    qmp->n_clients++;
    client_send(client, qmp_greeting());
    client_flush(client);
}

static void listen_ready(void *arg, unsigned events)
{
    struct qmp *qmp = arg;
    int fd = accept4(qmp->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    qmp->busy++;
    if (fd >= 0)
        client_add(qmp, fd);
    else if (errno == EMFILE || errno == ENFILE)
        evict_idlest(qmp);
    qmp_leave(qmp);
}

int qmp_create(int listen_fd, const struct loop *loop, const struct qmp_ops *ops, void *ctx,
               struct qmp **ret_qmp)
{
    struct qmp *qmp = calloc(1, sizeof(*qmp));
    int listening = 0, err;
    socklen_t len = sizeof(listening);

    if (!qmp)
        return -ENOMEM;
    *qmp = (struct qmp){.loop = loop, .ops = ops, .ctx = ctx, .fd = listen_fd};
    if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening) {
        free(qmp);
        return -EINVAL;
    }
    fcntl(listen_fd, F_SETFL, O_NONBLOCK);
    err = loop->ops->watch(loop->ctx, listen_fd, LOOP_READ, listen_ready, qmp, &qmp->watch);
    if (err) {
        free(qmp);
        return err;
    }
    *ret_qmp = qmp;
    return 0;
}

void qmp_destroy(struct qmp *qmp)
{
    if (!qmp)
        return;
    qmp->loop->ops->unwatch(qmp->loop->ctx, qmp->watch);
    close(qmp->fd);
    qmp->doomed = true;
    qmp->busy++;
    qmp_leave(qmp);
}
