/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "ioreq/hv_shm_reaper.h"

#define READ_CHUNK 4096
#define SCM_FDS    253   /* descriptors of one message, at most: the kernel's SCM_MAX_FD */
#define PAUSE_S    1     /* before clients are taken again */
#define OUT_KEPT   65536 /* of the memory for answers, by a client that has read them */

struct rpc_conn {
    struct rpc_server *server;
    struct rpc_conn *next, **link;
    struct loop_watch *watch;
    int fd;
    char *in; /* a line as far as it has come */
    size_t in_len, in_size;
    char *out;
    size_t out_len, out_sent, out_size;
    int fds[RPC_FDS];
    unsigned n_fds;
    bool fds_lost;          /* with the line that is under way */
    struct rpc_call *calls; /* not answered yet */
    bool dead;              /* to be closed when the stack is unwound */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct rpc_call {
    struct rpc_conn *conn; /* NULL: the client has gone */
    struct rpc_call *next, **link;
    json_t *id; /* NULL: a notification, not answered */
    int fds[RPC_FDS];
    unsigned n_fds, taken;
};

struct rpc_server {
    const struct loop *loop;
    const struct rpc_method *methods;
    void *ctx;
    int fd;
    int spare_fd; /* given up for a moment when there are no more: see turn_away() */
    struct loop_watch *watch;
    int pause_fd; /* timer: while it runs nobody is accepted */
    struct loop_watch *pause_watch;
    struct hv_shm_reaper *reaper;
    struct rpc_conn *conns;
    unsigned n_conns, clients;
    size_t out_held; /* of all clients' `out` */
};

static void conn_watch(struct rpc_conn *conn)
{
    const struct loop *loop = conn->server->loop;

    loop->ops->rewatch(loop->ctx, conn->watch,
                       LOOP_READ | (conn->out_sent < conn->out_len ? LOOP_WRITE : 0));
}

/* What nobody has read may hold descriptors, which go with the socket and may take their time. Once
 * it is shut down no more comes. */
static void hang_up(struct rpc_server *server, int fd)
{
    int unread;

    shutdown(fd, SHUT_RDWR);
    if (!ioctl(fd, FIONREAD, &unread) && !unread)
        close(fd);
    else
        hv_shm_reaper_close(server->reaper, fd);
}

static void out_free(struct rpc_conn *conn)
{
    conn->server->out_held -= conn->out_size;
    free(conn->out);
    conn->out = NULL;
    conn->out_size = 0;
}

/* Room for `size` bytes. */
static bool out_grow(struct rpc_conn *conn, size_t size)
{
    struct rpc_server *server = conn->server;
    char *out;

    if (size <= conn->out_size)
        return true;
    if (size > RPC_OUTPUT_MAX || server->out_held - conn->out_size + size > RPC_OUTPUT_TOTAL)
        return false;
    out = realloc(conn->out, size);
    if (!out)
        return false;
    server->out_held += size - conn->out_size;
    conn->out = out;
    conn->out_size = size;
    return true;
}

static void conn_close(struct rpc_conn *conn, bool tell)
{
    const struct loop *loop = conn->server->loop;

    for (struct rpc_call *call = conn->calls; call; call = call->next)
        call->conn = NULL;
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
    conn->server->n_conns--;
    loop->ops->unwatch(loop->ctx, conn->watch);
    hang_up(conn->server, conn->fd);
    hv_shm_reaper_close_all(conn->server->reaper, conn->fds, conn->n_fds);
    if (tell && conn->closed)
        conn->closed(conn->closed_arg);
    free(conn->in);
    out_free(conn);
    free(conn);
}

/* The client loses its connection, as soon as the stack is unwound or the loop comes by: an answer
 * may be given from anywhere. */
static void give_up(struct rpc_conn *conn)
{
    conn->dead = true;
    shutdown(conn->fd, SHUT_RDWR);
}

static void conn_flush(struct rpc_conn *conn)
{
    while (conn->out_sent < conn->out_len) {
        ssize_t n = send(conn->fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            give_up(conn);
        if (n < 0)
            break;
        conn->out_sent += (size_t)n;
    }
    if (conn->out_sent == conn->out_len) {
        conn->out_sent = conn->out_len = 0;
        if (conn->out_size > OUT_KEPT)
            out_free(conn);
    }
    if (!conn->dead)
        conn_watch(conn);
}

/* Appends a line. A client that does not read its answers loses its connection. -EMSGSIZE: the line
 * is longer than any client may have it; -ENOMEM. */
static int conn_send(struct rpc_conn *conn, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;

    if (!text || len + 1 > RPC_OUTPUT_MAX) {
        free(text);
        return text ? -EMSGSIZE : -ENOMEM;
    }
    if (!out_grow(conn, conn->out_len + len + 1)) {
        give_up(conn);
        free(text);
        return 0;
    }
    memcpy(conn->out + conn->out_len, text, len);
    conn->out_len += len;
    conn->out[conn->out_len++] = '\n';
    free(text);
    conn_flush(conn);
    return 0;
}

/* An error that takes no memory. A client whom that cannot tell loses its connection. */
static void send_short(struct rpc_conn *conn, const json_t *id, const char *why)
{
    char line[160];
    int len = snprintf(line, sizeof(line),
                       "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":%d,\"message\":\"%s\"},"
                       "\"id\":%" JSON_INTEGER_FORMAT "}\n",
                       RPC_FAILED, why, json_integer_value(id));

    if (!json_is_integer(id) || conn->out_len ||
        send(conn->fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len)
        give_up(conn);
}

/* `value` NULL: there was no memory for it. */
static void send_answer(struct rpc_conn *conn, json_t *id, const char *key, json_t *value)
{
    json_t *message = json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", key, value, "id", id);
    int err = message ? conn_send(conn, message) : -ENOMEM;

    json_decref(message);
    if (err == -EMSGSIZE) {
        message =
            json_pack("{s:s, s:{s:i, s:s}, s:O}", "jsonrpc", "2.0", "error", "code", RPC_FAILED,
                      "message", "the answer is longer than a client may have", "id", id);
        err = message ? conn_send(conn, message) : -ENOMEM;
        json_decref(message);
    }
    if (err)
        send_short(conn, id, "out of memory");
}

static void call_end(struct rpc_call *call, const char *key, json_t *value)
{
    struct hv_shm_reaper *reaper = call->conn ? call->conn->server->reaper : NULL;

    if (call->conn && call->id)
        send_answer(call->conn, call->id, key, value);
    if (call->conn) {
        *call->link = call->next;
        if (call->next)
            call->next->link = call->link;
    }
    for (unsigned i = call->taken; i < call->n_fds; i++) {
        if (reaper)
            hv_shm_reaper_close(reaper, call->fds[i]);
        else
            close(call->fds[i]); /* of the control socket: root's */
    }
    json_decref(call->id);
    json_decref(value);
    free(call);
}

void rpc_reply(struct rpc_call *call, json_t *result)
{
    call_end(call, "result", result);
}

void rpc_fail(struct rpc_call *call, int code, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    /* "?" in place of what is not UTF-8, as a name that came from elsewhere may not be. */
    json_t *text = json_string(message);
    if (!text) {
        for (char *c = message; *c; c++)
            if ((unsigned char)*c >= 0x80)
                *c = '?';
        text = json_string(message);
    }
    call_end(call, "error", json_pack("{s:i, s:o}", "code", code, "message", text));
}

int rpc_call_take_fd(struct rpc_call *call)
{
    return call->taken < call->n_fds ? call->fds[call->taken++] : -1;
}

struct rpc_conn *rpc_call_conn(struct rpc_call *call)
{
    return call->conn;
}

void rpc_conn_on_close(struct rpc_conn *conn, void (*closed)(void *arg), void *arg)
{
    conn->closed = closed;
    conn->closed_arg = arg;
}

bool rpc_conn_is_tied(const struct rpc_conn *conn)
{
    return conn->closed != NULL;
}

bool rpc_conn_notify(struct rpc_conn *conn, const char *method, json_t *params)
{
    json_t *message =
        json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
    bool sent = message && !conn->dead && !conn_send(conn, message);

    json_decref(message);
    return sent;
}

bool rpc_conn_drained(const struct rpc_conn *conn)
{
    return !conn->dead && !conn->out_len;
}

static struct rpc_call *call_create(struct rpc_conn *conn, json_t *id)
{
    struct rpc_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->conn = conn;
    call->id = json_incref(id);
    call->next = conn->calls;
    call->link = &conn->calls;
    if (call->next)
        call->next->link = &call->next;
    conn->calls = call;
    memcpy(call->fds, conn->fds, sizeof(call->fds));
    call->n_fds = conn->n_fds;
    conn->n_fds = 0;
    return call;
}

static void serve_line(struct rpc_conn *conn, const char *line, size_t len)
{
    json_error_t error;
    json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    json_t *id = json_object_get(message, "id");
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *params = json_object_get(message, "params");
    bool valid = method && (!params || json_is_object(params)) &&
                 (!id || json_is_string(id) || json_is_integer(id) || json_is_null(id));
    json_t *none = json_object();
    struct rpc_call *call = call_create(conn, valid ? id : json_null());
    const struct rpc_method *found = conn->server->methods;

    if (!call) {
        conn->dead = true;
        goto free_message;
    }
    /* jansson does not always say that it was the memory, but always what a mistake is. */
    if (!none ||
        (!message && (json_error_code(&error) == json_error_out_of_memory || !*error.text))) {
        rpc_fail(call, RPC_FAILED, "out of memory");
        goto free_message;
    }
    if (conn->fds_lost) {
        conn->fds_lost = false;
        rpc_fail(
            call, RPC_FAILED,
            "descriptors that came with the request were lost: more than %u, or the daemon has "
            "no more (LimitNOFILE=)",
            RPC_FDS);
        goto free_message;
    }
    if (!valid) {
        if (message)
            rpc_fail(call, RPC_INVALID_REQUEST, "not a JSON-RPC 2.0 request with named parameters");
        else
            rpc_fail(call, RPC_PARSE_ERROR, "%s at column %d", error.text, error.column);
        goto free_message;
    }
    while (found->name && strcmp(found->name, method))
        found++;
    if (found->name)
        found->call(conn->server->ctx, call, params ? params : none);
    else
        rpc_fail(call, RPC_NO_METHOD, "there is no method %.64s here", method);

free_message:
    json_decref(none);
    json_decref(message);
}

static void take_fds(struct rpc_conn *conn, struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
            if (conn->n_fds < RPC_FDS) {
                conn->fds[conn->n_fds++] = fd;
            } else {
                hv_shm_reaper_close(conn->server->reaper, fd);
                conn->fds_lost = true;
            }
        }
    }
    if (msg->msg_flags & MSG_CTRUNC)
        conn->fds_lost = true;
}

/* One read; whole lines are served, the rest is kept. */
static void conn_read(struct rpc_conn *conn)
{
    union {
        char bytes[CMSG_SPACE(SCM_FDS * sizeof(int))]; /* what has no room the kernel closes */
        struct cmsghdr align;
    } control;
    struct iovec iov;
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    size_t line = 0;
    ssize_t n;
    char *end;

    if (hv_shm_reaper_busy(conn->server->reaper)) {
        conn->dead = true;
        return;
    }
    if (conn->in_size - conn->in_len < READ_CHUNK) {
        size_t size = conn->in_size * 2 + READ_CHUNK;
        char *in = size <= 2 * RPC_LINE_MAX ? realloc(conn->in, size) : NULL;

        if (!in) {
            conn->dead = true;
            return;
        }
        conn->in = in;
        conn->in_size = size;
    }
    iov = (struct iovec){conn->in + conn->in_len, conn->in_size - conn->in_len};
    n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn->dead = true;
        return;
    }
    take_fds(conn, &msg);
    conn->in_len += (size_t)n;
    while (!conn->dead && (end = memchr(conn->in + line, '\n', conn->in_len - line))) {
        size_t len = (size_t)(end - conn->in) - line;

        serve_line(conn, conn->in + line, len);
        line += len + 1;
    }
    memmove(conn->in, conn->in + line, conn->in_len - line);
    conn->in_len -= line;
    if (conn->in_len > RPC_LINE_MAX)
        conn->dead = true;
}

static void on_conn(void *arg, unsigned events)
{
    struct rpc_conn *conn = arg;

    if (events & LOOP_WRITE)
        conn_flush(conn);
    if (events & LOOP_READ && !conn->dead)
        conn_read(conn);
    if (conn->dead)
        conn_close(conn, true);
}

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Without a descriptor for it a client stays in the queue, and the socket readable, for ever: take
 * it with the one kept for this and hang up. */
static void turn_away(struct rpc_server *server)
{
    int fd;

    if (server->spare_fd >= 0)
        close(server->spare_fd);
    fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        hang_up(server, fd);
    server->spare_fd = spare_open();
}

static void on_pause_over(void *arg, unsigned events)
{
    struct rpc_server *server = arg;
    uint64_t count;

    if (read(server->pause_fd, &count, sizeof(count)) > 0)
        server->loop->ops->rewatch(server->loop->ctx, server->watch, LOOP_READ);
}

static void pause_listening(struct rpc_server *server)
{
    const struct itimerspec pause = {.it_value.tv_sec = PAUSE_S};

    server->loop->ops->rewatch(server->loop->ctx, server->watch, 0);
    timerfd_settime(server->pause_fd, 0, &pause, NULL);
}

static void on_listen(void *arg, unsigned events)
{
    struct rpc_server *server = arg;
    const struct loop *loop = server->loop;
    struct rpc_conn *conn;
    int fd;

    if (hv_shm_reaper_busy(server->reaper)) {
        pause_listening(server);
        return;
    }
    if (server->spare_fd < 0) /* there was none to be had the last time */
        server->spare_fd = spare_open();
    fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(server);
        return;
    }
    conn = server->n_conns < server->clients ? calloc(1, sizeof(*conn)) : NULL;
    if (!conn)
        goto close_fd;
    conn->server = server;
    conn->fd = fd;
    if (loop->ops->watch(loop->ctx, fd, LOOP_READ, on_conn, conn, &conn->watch))
        goto free_conn;
    conn->next = server->conns;
    conn->link = &server->conns;
    if (conn->next)
        conn->next->link = &conn->next;
    server->conns = conn;
    server->n_conns++;
    return;

free_conn:
    free(conn);
close_fd:
    hang_up(server, fd);
}

static void server_free(struct rpc_server *server)
{
    server->loop->ops->unwatch(server->loop->ctx, server->watch);
    server->loop->ops->unwatch(server->loop->ctx, server->pause_watch);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    if (server->pause_fd >= 0)
        close(server->pause_fd);
    hv_shm_reaper_destroy(server->reaper);
    free(server);
}

int rpc_server_create(int listen_fd, const struct loop *loop, const struct rpc_method *methods,
                      void *ctx, unsigned clients, struct rpc_server **ret_server)
{
    struct rpc_server *server = calloc(1, sizeof(*server));
    int err;

    if (!server)
        return -ENOMEM;
    *server = (struct rpc_server){
        .loop = loop, .methods = methods, .ctx = ctx, .clients = clients, .fd = listen_fd};
    server->spare_fd = spare_open();
    server->pause_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    err = server->pause_fd < 0 ? -errno : hv_shm_reaper_create(&server->reaper);
    if (!err)
        err = loop->ops->watch(loop->ctx, server->pause_fd, LOOP_READ, on_pause_over, server,
                               &server->pause_watch);
    if (!err)
        err = loop->ops->watch(loop->ctx, listen_fd, LOOP_READ, on_listen, server, &server->watch);
    if (err) {
        server_free(server);
        return err;
    }
    *ret_server = server;
    return 0;
}

void rpc_server_destroy(struct rpc_server *server)
{
    if (!server)
        return;
    while (server->conns)
        conn_close(server->conns, false);
    hv_shm_reaper_close(server->reaper, server->fd); /* with those in its queue */
    server_free(server);
}
