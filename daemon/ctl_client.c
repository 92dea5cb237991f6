/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (32u * 1024 * 1024 + 1) /* the daemon's own bound, and the line's end */

static int fail(struct ctl_client *client, int error, const char *what, const char *why)
{
    snprintf(client->error, sizeof(client->error), "%s%s%s", what, *why ? ": " : "", why);
    return error;
}

int ctl_client_open(struct ctl_client *client, const char *socket_path, unsigned timeout_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *client = (struct ctl_client){.fd = -1, .timeout_s = timeout_s};
    if (strlen(socket_path) >= sizeof(address.sun_path))
        return fail(client, -ENAMETOOLONG, socket_path, "too long for a socket's path");
    strcpy(address.sun_path, socket_path);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return fail(client, -errno, "socket", strerror(errno));
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;

    int error = -errno;

    close(client->fd);
    client->fd = -1;
    fail(client, error, socket_path, strerror(-error));

    size_t used = strlen(client->error);
    const char *hint = "";

    if (error == -ENOENT || error == -ECONNREFUSED)
        hint = " (is the daemon running? systemctl status ioemud)";
    else if (error == -EACCES)
        hint = " (root may, and for statistics the group that \"stats_group\" names)";
    snprintf(client->error + used, sizeof(client->error) - used, "%s", hint);
    return error;
}

void ctl_client_close(struct ctl_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->in);
    client->in = NULL;
    client->in_length = client->in_size = 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Waits for `events`; -ETIMEDOUT once `deadline` has passed. */
static int wait_for(struct ctl_client *client, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd poll_fd = {.fd = client->fd, .events = events};
        int ready = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;

        if (ready > 0)
            return 0;
        if (ready == 0)
            return fail(client, -ETIMEDOUT, "the daemon does not answer", "");
        if (errno != EINTR)
            return fail(client, -errno, "poll", strerror(errno));
    }
}

static int send_line(struct ctl_client *client, const char *text, size_t length, int64_t deadline)
{
    while (length) {
        ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EAGAIN) {
            int error = wait_for(client, POLLOUT, deadline);

            if (error)
                return error;
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return fail(client, -errno, "the daemon has closed the connection", strerror(errno));
        text += sent;
        length -= (size_t)sent;
    }
    return 0;
}

bool ctl_client_has_line(const struct ctl_client *client)
{
    return client->in_length && memchr(client->in, '\n', client->in_length);
}

static int make_room(struct ctl_client *client)
{
    size_t size = client->in_size ? client->in_size * 2 : 16384;
    char *in;

    if (client->in_length < client->in_size)
        return 0;
    if (client->in_size >= ANSWER_MAX)
        return -EMSGSIZE;
    in = realloc(client->in, size);
    if (!in)
        return -ENOMEM;
    client->in = in;
    client->in_size = size;
    return 0;
}

/* Takes the first line, the caller's to free; what follows it stays. */
static int read_line(struct ctl_client *client, int64_t deadline, char **ret_line,
                     size_t *ret_length)
{
    int error = 0;
    ssize_t got = 1;
    char *line;

    while (!ctl_client_has_line(client) && !error) {
        error = make_room(client);
        if (error)
            break;
        error = wait_for(client, POLLIN, deadline);
        if (error)
            return error;
        got = recv(client->fd, client->in + client->in_length, client->in_size - client->in_length,
                   MSG_DONTWAIT);
        if (got > 0)
            client->in_length += (size_t)got;
        else if (got == 0 || (errno != EINTR && errno != EAGAIN))
            error = got ? -errno : -ECONNRESET;
    }
    if (error)
        return fail(client, error, "no answer from the daemon", strerror(-error));

    size_t length = (size_t)((char *)memchr(client->in, '\n', client->in_length) - client->in);

    line = malloc(length + 1);
    if (!line)
        return fail(client, -ENOMEM, "out of memory", "");
    memcpy(line, client->in, length);
    client->in_length -= length + 1;
    memmove(client->in, client->in + length + 1, client->in_length);
    *ret_line = line;
    *ret_length = length;
    return 0;
}

static int take_answer(struct ctl_client *client, const char *line, size_t length,
                       json_t **ret_result)
{
    json_error_t json_error;
    json_t *answer = json_loadb(line, length, 0, &json_error);
    const char *message =
        json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    json_t *result = json_object_get(answer, "result");
    int error = 0;

    if (json_object_get(answer, "error"))
        error = fail(client, -EREMOTEIO, message ? message : "refused without a reason", "");
    else if (!result)
        error =
            fail(client, -EPROTO, "this is no answer of ioemud's", answer ? "" : json_error.text);
    else
        *ret_result = json_incref(result);
    json_decref(answer);
    return error;
}

int ctl_client_call(struct ctl_client *client, const char *method, json_t *params,
                    json_t **ret_result)
{
    int64_t deadline = now_ms() + client->timeout_s * INT64_C(1000);
    json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method", method,
                                "params", params);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    char *line = NULL;
    size_t length;
    int error;

    json_decref(request);
    if (!text)
        return fail(client, -ENOMEM, "out of memory", "");
    length = strlen(text);
    text[length] = '\n'; /* over the terminator: the length goes along */
    error = send_line(client, text, length + 1, deadline);
    free(text);
    if (!error)
        error = read_line(client, deadline, &line, &length);
    if (error)
        return error;
    error = take_answer(client, line, length, ret_result);
    free(line);
    return error;
}

int ctl_client_next(struct ctl_client *client, json_t **ret_params)
{
    int64_t deadline = now_ms() + client->timeout_s * INT64_C(1000);

    for (;;) {
        json_error_t json_error;
        json_t *message, *params;
        size_t length;
        char *line;
        int error = read_line(client, deadline, &line, &length);

        if (error)
            return error;
        message = json_loadb(line, length, 0, &json_error);
        free(line);
        if (!message)
            return fail(client, -EPROTO, "this is nothing of ioemud's", json_error.text);
        params = json_incref(json_object_get(message, "params"));
        json_decref(message);
        if (params) {
            *ret_params = params;
            return 0;
        }
    }
}

int ctl_client_wait_closed(struct ctl_client *client)
{
    int64_t deadline = now_ms() + client->timeout_s * INT64_C(1000);
    char rest[256];

    for (;;) {
        int error = wait_for(client, POLLIN, deadline);

        if (error)
            return fail(client, error, "the daemon has not ended yet", "");

        ssize_t got = recv(client->fd, rest, sizeof(rest), MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return 0;
    }
}
