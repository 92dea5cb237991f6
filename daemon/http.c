/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_NS     UINT64_C(1000000000) /* without descriptors, before clients are taken again */
#define REQUEST_ROOM ((size_t)16384)      /* for a client's request, headers and all */
#define FORMATS      2u

struct http {
    const struct loop *loop;
    struct MHD_Daemon *mhd;
    char *(*text)(void *ctx, enum metrics_format format);
    void *ctx;
    int listen_fd;
    struct loop_watch *listen_watch, *mhd_watch;
    struct loop_timer call;  /* libmicrohttpd wants to be called */
    struct loop_timer pause; /* while it runs nobody is taken */
    /* What was told last, by its format; NULL: nothing lately. */
    struct MHD_Response *told[FORMATS];
    struct loop_timer stale;
};

static uint64_t now_ns(const struct http *http)
{
    return http->loop->ops->now_ns(http->loop->ctx);
}

static void arm(struct http *http, struct loop_timer *timer, uint64_t in_ns)
{
    http->loop->ops->arm(http->loop->ctx, timer, now_ns(http) + in_ns);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void forget(void *arg)
{
    struct http *http = arg;

    for (unsigned i = 0; i < FORMATS; i++) {
        if (http->told[i])
            MHD_destroy_response(http->told[i]); /* those who still get it hold it */
        http->told[i] = NULL;
    }
}

static struct MHD_Response *make(struct http *http, enum metrics_format format)
{
    char *text = http->text(http->ctx, format);
    struct MHD_Response *response;

    if (!text)
        return NULL;
    response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, metrics_content_type(format));
    return response;
}

static enum MHD_Result tell_metrics(struct http *http, struct MHD_Connection *connection)
{
    static const char sorry[] = "out of memory\n";
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    enum metrics_format format = accept && strstr(accept, "application/openmetrics-text")
                                     ? METRICS_OPENMETRICS
                                     : METRICS_PROMETHEUS;
    struct MHD_Response *response = http->told[format];
    enum MHD_Result result;

    if (!response) {
        response = make(http, format);
        http->told[format] = response;
        if (response && !http->stale.deadline_ns)
            arm(http, &http->stale, HTTP_FRESH_NS);
    }
    if (response)
        return MHD_queue_response(connection, MHD_HTTP_OK, response);
    response = MHD_create_response_from_buffer(sizeof(sorry) - 1, (void *)(uintptr_t)sorry,
                                               MHD_RESPMEM_PERSISTENT);
    result = MHD_queue_response(connection, MHD_HTTP_SERVICE_UNAVAILABLE, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called with the headers, then with what follows them, at last with nothing. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    struct http *http = cls;

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return *request ? MHD_NO
                        : refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (!*request) {
        *request = http;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(url, "/metrics") == 0)
        return tell_metrics(http, connection);
    return refuse(connection, MHD_HTTP_NOT_FOUND, "there is nothing here but /metrics\n");
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG ms;

    MHD_run(http->mhd);
    if (MHD_get_timeout(http->mhd, &ms) == MHD_YES)
        arm(http, &http->call, ms * UINT64_C(1000000));
    else
        http->loop->ops->disarm(http->loop->ctx, &http->call);
}

static void on_mhd(void *arg, unsigned events)
{
    run(arg);
}

static void on_call(void *arg)
{
    run(arg);
}

static void on_pause_over(void *arg)
{
    struct http *http = arg;

    http->loop->ops->rewatch(http->loop->ctx, http->listen_watch, LOOP_READ);
}

/* libmicrohttpd's own way would spin while there is no descriptor for a client. */
static void on_listen(void *arg, unsigned events)
{
    struct http *http = arg;
    struct sockaddr_storage addr;
    socklen_t length = sizeof(addr);
    int fd =
        accept4(http->listen_fd, (struct sockaddr *)&addr, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
            return;
        http->loop->ops->rewatch(http->loop->ctx, http->listen_watch, 0);
        arm(http, &http->pause, PAUSE_NS);
        return;
    }
    /* One too many is closed at once. */
    MHD_add_connection(http->mhd, fd, (struct sockaddr *)&addr, length);
    run(http);
}

void http_destroy(struct http *http)
{
    const struct loop *loop;

    if (!http)
        return;
    loop = http->loop;
    loop->ops->unwatch(loop->ctx, http->listen_watch);
    loop->ops->unwatch(loop->ctx, http->mhd_watch);
    loop->ops->disarm(loop->ctx, &http->call);
    loop->ops->disarm(loop->ctx, &http->pause);
    loop->ops->disarm(loop->ctx, &http->stale);
    if (http->mhd)
        MHD_stop_daemon(http->mhd);
    forget(http);
    if (http->listen_fd >= 0)
        close(http->listen_fd);
    free(http);
}

static struct MHD_Daemon *start(struct http *http)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request,
                            http, MHD_OPTION_CONNECTION_LIMIT, HTTP_CLIENTS,
                            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_ROOM, MHD_OPTION_END);
}

int http_create(int listen_fd, const struct loop *loop,
                char *(*text)(void *ctx, enum metrics_format format), void *ctx,
                struct http **ret_http)
{
    struct http *http = calloc(1, sizeof(*http));
    const union MHD_DaemonInfo *info;
    int err;

    if (!http)
        return -ENOMEM;
    *http = (struct http){.loop = loop, .text = text, .ctx = ctx, .listen_fd = -1};
    http->call = (struct loop_timer){.expire = on_call, .arg = http};
    http->pause = (struct loop_timer){.expire = on_pause_over, .arg = http};
    http->stale = (struct loop_timer){.expire = forget, .arg = http};
    http->mhd = start(http);
    info = http->mhd ? MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    err = info ? 0 : -ENOMEM;
    if (!err)
        err =
            loop->ops->watch(loop->ctx, info->epoll_fd, LOOP_READ, on_mhd, http, &http->mhd_watch);
    if (!err)
        err =
            loop->ops->watch(loop->ctx, listen_fd, LOOP_READ, on_listen, http, &http->listen_watch);
    if (err) {
        http_destroy(http);
        return err;
    }
    http->listen_fd = listen_fd;
    *ret_http = http;
    return 0;
}
