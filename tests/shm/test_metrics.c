/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Prometheus says of the metrics: promtool of the text, a server that scrapes a daemon whose
 * guest works, and then answers the dashboard's queries ($IOEMUD_DASHBOARD). Both programs are of
 * Debian's package "prometheus"; without them this is skipped.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shm/rig.h"
#include "tests/unit/free_port.h"

#define SKIPPED     77 /* meson's */
#define RAM         (16u << 20)
#define SECTORS     32768u
#define PRD         0x1000u
#define BUF         0x100000u
#define ANSWER_SIZE (1u << 20)
#define RATE_S      "5s" /* $__rate_interval: some scrapes, one a second */

struct fixture {
    struct rig rig;
    unsigned port, prometheus_port;
    pid_t prometheus;
    char image[RIG_PATH];
    struct peer *peer;
    struct ide disk;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char more[128], disks[2 * RIG_PATH];

    f->port = free_port(SOCK_STREAM);
    snprintf(more, sizeof(more), "\"workers\": 1, \"metrics\": {\"http\": \"127.0.0.1:%u\"}",
             f->port);
    rig_start(&f->rig, more);
    rig_image(&f->rig, "hda.img", SECTORS, f->image);
    snprintf(disks, sizeof(disks), "{\"vdev\": \"hda\", \"path\": \"%s\"}", f->image);
    rig_guest_more(&f->rig, "guest", disks, "\"nics\": [{\"devid\": 0, \"backend\": \"null\"}]");
    f->peer = rig_peer(&f->rig, "guest", 1, RAM);
    assert_int_equal(ide_init(&f->disk, f->peer, 0, 0, 0, PRD), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    if (f->prometheus > 0) {
        kill(f->prometheus, SIGKILL);
        waitpid(f->prometheus, NULL, 0);
    }
    peer_close(f->peer);
    status = rig_stop(&f->rig);
    free(f);
    assert_int_equal(status, 0);
    return 0;
}

static void work(struct fixture *f)
{
    assert_int_equal(ide_dma_read(&f->disk, 0, 256, BUF), 0);
    assert_int_equal(ide_dma_write(&f->disk, 1024, 64, BUF), 0);
    assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_REP16, 0, 2, BUF), 0);
    assert_int_equal(ide_pio_read(&f->disk, IDE_PIO_LOOP16, 0, 1, BUF), 0);
    assert_int_equal(ide_flush(&f->disk), 0);
}

/* The body of the answer to GET; NULL: nobody is there. In a buffer that the next call reuses. */
static const char *http_get(unsigned port, const char *path)
{
    static char text[ANSWER_SIZE];
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t length = 0;
    const char *body;
    ssize_t n;

    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        close(fd);
        return NULL;
    }
    dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path);
    while ((n = recv(fd, text + length, sizeof(text) - 1 - length, 0)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    close(fd);
    body = strstr(text, "\r\n\r\n");
    return body ? body + 4 : NULL;
}

static void promtool_has_nothing_to_say_about_the_text(void **state)
{
    struct fixture *f = *state;
    char path[RIG_PATH], command[2 * RIG_PATH], said[512];
    const char *text;
    FILE *file;
    size_t n;

    for (unsigned i = 0; i < 100; i++)
        work(f);
    text = http_get(f->port, "/metrics");
    assert_non_null(text);
    assert_non_null(strstr(text, "ioemud_disk_latency_seconds_count{guest=\"guest\""));
    assert_non_null(strstr(text, "ioemud_guest_round_trip_seconds_count{guest=\"guest\""));
    assert_non_null(strstr(text, "ioemud_nic_packets_total{guest=\"guest\""));
    assert_non_null(strstr(text, "ioemud_device_events_total{guest=\"guest\""));
    snprintf(path, sizeof(path), "%s/text", f->rig.dir);
    file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    snprintf(command, sizeof(command), "promtool check metrics <%s 2>&1", path);
    file = popen(command, "r");
    n = fread(said, 1, sizeof(said) - 1, file);
    said[n] = '\0';
    assert_string_equal(said, "");
    assert_int_equal(pclose(file), 0);
}

static void start_prometheus(struct fixture *f)
{
    char config[RIG_PATH], data[RIG_PATH], log[RIG_PATH], address[64];
    FILE *file;

    f->prometheus_port = free_port(SOCK_STREAM);
    snprintf(config, sizeof(config), "--config.file=%s/prometheus.yml", f->rig.dir);
    snprintf(data, sizeof(data), "--storage.tsdb.path=%s/data", f->rig.dir);
    snprintf(log, sizeof(log), "%s/prometheus.log", f->rig.dir);
    snprintf(address, sizeof(address), "--web.listen-address=127.0.0.1:%u", f->prometheus_port);
    file = fopen(strchr(config, '=') + 1, "w");
    fprintf(file,
            "scrape_configs:\n- job_name: ioemud\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
            "  static_configs:\n  - targets: ['127.0.0.1:%u']\n",
            f->port);
    fclose(file);
    f->prometheus = fork();
    if (f->prometheus == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        dup2(fd, 1);
        dup2(fd, 2);
        execlp("prometheus", "prometheus", config, data, address, (char *)NULL);
        _exit(127);
    }
}

static void url_encode(const char *text, char *url, size_t size)
{
    size_t at = 0;

    for (; *text && at + 4 < size; text++)
        at += (size_t)snprintf(url + at, size - at, "%%%02x", (unsigned char)*text);
    assert_false(*text);
}

/* How many series or labels there are in the answer; -1: Prometheus is not there yet. */
static int answers(struct fixture *f, const char *query)
{
    char path[8192] = "/api/v1/query?query=";
    const char *body;
    json_t *answer;
    int count;

    url_encode(query, path + strlen(path), sizeof(path) - strlen(path));
    body = http_get(f->prometheus_port, path);
    answer = body ? json_loads(body, 0, NULL) : NULL;
    if (!answer)
        return -1;
    if (strcmp(json_string_value(json_object_get(answer, "status")), "success") != 0)
        fail_msg("%s: %s", query, body);
    count = (int)json_array_size(json_object_get(json_object_get(answer, "data"), "result"));
    json_decref(answer);
    return count;
}

/* Grafana's variables for what they stand for. */
static void fill_in(const char *expr, char *query, size_t size)
{
    static const char *const variables[][2] = {
        {"$__rate_interval", RATE_S}, {"$instance", ".*"}, {"$guest", ".*"}};
    size_t at = 0;

    while (*expr) {
        const char *with = NULL;

        for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) && !with; i++) {
            size_t length = strlen(variables[i][0]);

            if (strncmp(expr, variables[i][0], length) != 0)
                continue;
            with = variables[i][1];
            expr += length;
        }
        assert_true(at + 32 < size);
        if (with)
            at += (size_t)snprintf(query + at, size - at, "%s", with);
        else
            query[at++] = *expr++;
    }
    query[at] = '\0';
}

static unsigned ask_dashboard(struct fixture *f, const json_t *panels)
{
    unsigned asked = 0;

    for (size_t i = 0; i < json_array_size(panels); i++) {
        const json_t *targets = json_object_get(json_array_get(panels, i), "targets");

        for (size_t j = 0; j < json_array_size(targets); j++, asked++) {
            const char *expr =
                json_string_value(json_object_get(json_array_get(targets, j), "expr"));
            char query[2048];

            fill_in(expr, query, sizeof(query));
            if (answers(f, query) <= 0)
                fail_msg("no data for %s", query);
        }
    }
    return asked;
}

/* Those that a look at the dashboard begins with: label_values(QUERY, LABEL). */
static unsigned ask_variables(struct fixture *f, const json_t *variables)
{
    unsigned asked = 0;

    for (size_t i = 0; i < json_array_size(variables); i++) {
        const json_t *variable = json_array_get(variables, i);
        const char *type = json_string_value(json_object_get(variable, "type"));
        char expr[256], label[32], query[512], counted[1024];

        if (strcmp(type, "query") != 0)
            continue;
        assert_int_equal(sscanf(json_string_value(json_object_get(variable, "query")),
                                "label_values(%255[^,], %31[a-z])", expr, label),
                         2);
        fill_in(expr, query, sizeof(query));
        /* Only series that have this label. */
        snprintf(
            counted, sizeof(counted),
            "count by (%s, has) (label_replace(%s, \"has\", \"it\", \"%s\", \".+\")) and on (has) "
            "label_replace(vector(1), \"has\", \"it\", \"\", \"\")",
            label, query, label);
        if (answers(f, counted) <= 0)
            fail_msg("no values for %s", query);
        asked++;
    }
    return asked;
}

static void prometheus_scrapes_them_and_answers_the_dashboards_queries(void **state)
{
    struct fixture *f = *state;
    const char *path = getenv("IOEMUD_DASHBOARD");
    json_t *dashboard = json_load_file(path ? path : "docs/grafana-ioemud.json", 0, NULL);
    time_t begun = time(NULL);

    assert_non_null(dashboard);
    start_prometheus(f);
    /* Until there are enough scrapes for rates, all the while at work. */
    while (answers(f, "count_over_time(ioemud_disk_bytes_total{op=\"read\"}[" RATE_S "]) >= 4") <=
           0)
        for (unsigned i = 0; i < 20; i++) {
            assert_true(time(NULL) - begun < 60);
            work(f);
            usleep(10000);
        }
    assert_int_equal(answers(f, "up == 1"), 1);
    assert_true(ask_dashboard(f, json_object_get(dashboard, "panels")) > 20);
    assert_int_equal(
        ask_variables(f, json_object_get(json_object_get(dashboard, "templating"), "list")), 2);
    json_decref(dashboard);
}

static bool is_there(const char *program)
{
    char command[64];

    snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
    return system(command) == 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(promtool_has_nothing_to_say_about_the_text),
        CASE(prometheus_scrapes_them_and_answers_the_dashboards_queries),
    };

    if (!is_there("promtool") || !is_there("prometheus")) {
        puts("SKIP: no promtool and prometheus here (Debian's package prometheus)");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
