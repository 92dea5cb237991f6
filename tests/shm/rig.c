/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/shm/rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PROGRAM "ioemud"

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(99);
}

static void in_dir(const struct rig *rig, const char *name, char path[RIG_PATH])
{
    if (snprintf(path, RIG_PATH, "%s/%s", rig->dir, name) >= RIG_PATH)
        give_up("path too long: %s/%s", rig->dir, name);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(text, file) == EOF || fclose(file) == EOF)
        give_up("%s: %s", path, strerror(errno));
}

static int connect_to(const char *path, int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* 0, or how it has ended. */
static int wait_ready(struct rig *rig)
{
    char path[RIG_PATH];

    in_dir(rig, "control.sock", path);
    for (int i = 0; i < 1000; i++) {
        int fd = connect_to(path, SOCK_STREAM), status;

        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (waitpid(rig->pid, &status, WNOHANG) == rig->pid) {
            rig->pid = 0;
            return status ? status : -1;
        }
        usleep(10000);
    }
    give_up("the daemon does not answer");
}

int rig_try_restart(struct rig *rig)
{
    const char *program = getenv("IOEMUD");
    char config[RIG_PATH], log[RIG_PATH];

    in_dir(rig, "ioemud.json", config);
    in_dir(rig, "log", log);
    rig->pid = fork();
    if (rig->pid < 0)
        give_up("fork: %s", strerror(errno));
    if (rig->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        dup2(fd, 2);
        dup2(fd, 1);
        unsetenv("NOTIFY_SOCKET");
        execlp(program ? program : DEFAULT_PROGRAM, "ioemud", "-c", config, (char *)NULL);
        dprintf(2, "%s: %s\n", program ? program : DEFAULT_PROGRAM, strerror(errno));
        _exit(127);
    }
    return wait_ready(rig);
}

void rig_restart(struct rig *rig)
{
    int status = rig_try_restart(rig);

    if (status)
        give_up("the daemon ended with status %#x:\n%s", status, rig_log(rig));
}

bool rig_isolated(void)
{
    const char *given = getenv("IOEMUD_ISOLATION");

    return !given || strcmp(given, "thread");
}

/* Debian's nobody is there without systemd-sysusers, too. */
const char *rig_isolation(void)
{
    return rig_isolated() ? "\"worker_user\": \"nobody\"" : "\"isolation\": \"thread\"";
}

void rig_start(struct rig *rig, const char *more)
{
    char path[RIG_PATH], text[4096];

    *rig = (struct rig){0};
    snprintf(rig->dir, sizeof(rig->dir), "%s/ioemud-shm.XXXXXX",
             getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 32 ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(rig->dir))
        give_up("%s: %s", rig->dir, strerror(errno));
    in_dir(rig, "guests.d", path);
    mkdir(path, 0700);
    snprintf(
        text, sizeof(text),
        "{\n  \"control_socket\": \"%s/control.sock\",\n  \"stats_socket\": \"%s/stats.sock\",\n"
        "  \"run_dir\": \"%s/run\",\n  \"guests_dir\": \"%s/guests.d\",\n"
        "  \"shm_socket\": \"%s/shm.sock\",\n  \"user_network_socket\": \"%s/usernet.sock\",\n"
        "  \"xen\": false,\n  %s%s%s\n}\n",
        rig->dir, rig->dir, rig->dir, rig->dir, rig->dir, rig->dir, rig_isolation(),
        more ? ",\n  " : "", more ? more : "");
    in_dir(rig, "ioemud.json", path);
    write_file(path, text);
    rig_restart(rig);
}

int rig_signal(struct rig *rig, int signal, int ms)
{
    int status;

    if (signal)
        kill(rig->pid, signal);
    for (int i = 0; i <= ms / 5; i++) {
        if (waitpid(rig->pid, &status, WNOHANG) == rig->pid) {
            rig->pid = 0;
            return status;
        }
        usleep(5000);
    }
    return -1;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char inside[512];

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            remove_tree(inside);
        else
            unlink(inside);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* The list of daemon/sandbox.c lacks nothing that a worker of ours wants. */
static bool was_denied(struct rig *rig)
{
    char *log = rig_log(rig);
    const char *line = log ? strstr(log, "event=system-call-denied") : NULL;
    bool denied = line && !rig->captured;

    if (denied)
        fprintf(stderr, "%.*s\n", (int)strcspn(line, "\n"), line);
    free(log);
    return denied;
}

int rig_stop(struct rig *rig)
{
    int status = 0;

    if (rig->pid)
        status = rig_signal(rig, SIGTERM, 10000);
    if (rig->pid) {
        fprintf(stderr, "the daemon does not end\n");
        kill(rig->pid, SIGKILL);
        waitpid(rig->pid, NULL, 0);
    }
    rig_user_network_stop(rig);
    if (was_denied(rig))
        status = -1;
    remove_tree(rig->dir);
    return status;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);

    while (file && text) {
        size_t n = fread(text + size, 1, room - 1 - size, file);

        size += n;
        if (n == 0)
            break;
        if (size + 1 == room)
            text = realloc(text, room *= 2);
    }
    if (file)
        fclose(file);
    if (!text)
        give_up("out of memory");
    text[size] = 0;
    return text;
}

char *rig_log(struct rig *rig)
{
    char path[RIG_PATH];

    in_dir(rig, "log", path);
    return read_file(path);
}

void rig_pattern(uint64_t seed, uint64_t lba, uint8_t sector[512])
{
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15ull ^ (lba + 1) * 0xbf58476d1ce4e5b9ull;

    for (unsigned i = 0; i < 512; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(sector + i, &x, 8);
    }
}

void rig_fill(uint64_t seed, uint64_t lba, unsigned count, uint8_t *data)
{
    for (unsigned i = 0; i < count; i++)
        rig_pattern(seed, lba + i, data + i * 512);
}

unsigned rig_mismatches(uint64_t seed, uint64_t lba, unsigned count, const uint8_t *data)
{
    uint8_t sector[512];
    unsigned wrong = 0;

    for (unsigned i = 0; i < count; i++) {
        rig_pattern(seed, lba + i, sector);
        wrong += memcmp(sector, data + i * 512, 512) != 0;
    }
    return wrong;
}

void rig_image(struct rig *rig, const char *name, uint64_t sectors, char path[RIG_PATH])
{
    uint8_t data[64 * 512];
    FILE *file;

    in_dir(rig, name, path);
    file = fopen(path, "w");
    for (uint64_t lba = 0; file && lba < sectors; lba += 64) {
        unsigned n = sectors - lba < 64 ? (unsigned)(sectors - lba) : 64;

        rig_fill(0, lba, n, data);
        if (fwrite(data, 512, n, file) != n)
            break;
    }
    if (!file || fclose(file) == EOF)
        give_up("%s: %s", path, strerror(errno));
}

void rig_guest(struct rig *rig, const char *name, const char *disks)
{
    rig_guest_more(rig, name, disks, NULL);
}

void rig_guest_more(struct rig *rig, const char *name, const char *disks, const char *more)
{
    char file[RIG_PATH], path[RIG_PATH], text[4096];

    snprintf(file, sizeof(file), "guests.d/%.63s.json", name);
    in_dir(rig, file, path);
    snprintf(text, sizeof(text),
             "{\n  \"name\": \"%s\",\n  \"hypervisor\": \"shm\",\n  \"disks\": [%s]%s%s\n}\n", name,
             disks, more ? ",\n  " : "", more ? more : "");
    write_file(path, text);
}

struct peer *rig_try_peer(struct rig *rig, const char *name, unsigned vcpus, size_t ram,
                          char reason[112])
{
    char path[RIG_PATH];
    struct peer_options options = {.socket = path,
                                   .name = name,
                                   .ram_size = ram,
                                   .vcpus = vcpus,
                                   .timeout_ms = 20000,
                                   .features = HV_SHM_FEATURE_BUFFERED_PIO};
    struct peer *peer;
    int rc;

    in_dir(rig, "shm.sock", path);
    rc = peer_connect(&options, &peer, reason);
    if (rc < 0) {
        if (!*reason)
            snprintf(reason, 112, "%s", strerror(-rc));
        return NULL;
    }
    rc = peer_wait_enabled(peer);
    if (rc == 0)
        return peer;
    snprintf(reason, 112, "after WELCOME: %s", strerror(-rc));
    peer_close(peer);
    return NULL;
}

struct peer *rig_peer(struct rig *rig, const char *name, unsigned vcpus, size_t ram)
{
    char reason[112];
    struct peer *peer = rig_try_peer(rig, name, vcpus, ram, reason);

    if (!peer)
        give_up("guest %s: %s\n%s", name, reason, rig_log(rig));
    return peer;
}

static json_t *receive_line(int fd)
{
    size_t size = 0, room = 16 << 20; /* statistics of a thousand guests */
    char *line = malloc(room);
    json_t *answer = NULL;

    while (line && size + 1 < room) {
        ssize_t n = read(fd, line + size, room - 1 - size);

        if (n <= 0)
            break;
        size += (size_t)n;
        if (line[size - 1] == '\n') {
            answer = json_loadb(line, size, 0, NULL);
            break;
        }
    }
    free(line);
    return answer;
}

json_t *rig_call(struct rig *rig, const char *method, const char *params, char error[256])
{
    struct timeval limit = {.tv_sec = 20};
    char path[RIG_PATH], request[2048];
    json_t *answer = NULL, *result;
    int fd, n;

    /* What a worker process counts is there a moment later (ioemud.json(5), "isolation"). */
    if (rig_isolated() && strcmp(method, "stats") == 0)
        usleep(50000);
    in_dir(rig, "control.sock", path);
    fd = connect_to(path, SOCK_STREAM);
    n = snprintf(request, sizeof(request),
                 "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"%s\", \"params\": %s}\n", method,
                 params ? params : "{}");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (fd >= 0 && send(fd, request, (size_t)n, MSG_NOSIGNAL) == n)
        answer = receive_line(fd);
    if (fd >= 0)
        close(fd);
    result = json_incref(json_object_get(answer, "result"));
    if (error)
        snprintf(
            error, 256, "%s",
            answer ? json_string_value(json_object_get(json_object_get(answer, "error"), "message"))
                         ?: ""
                   : "no answer");
    json_decref(answer);
    return result;
}

uint64_t rig_counted(struct rig *rig, const char *guest, const char *group, const char *name)
{
    char params[96];
    json_t *stats, *value;
    uint64_t number;

    snprintf(params, sizeof(params), "{\"guest\": \"%s\"}", guest);
    stats = rig_call(rig, "stats", params, NULL);
    value = json_object_get(
        json_object_get(json_array_get(json_object_get(stats, "guests"), 0), group), name);
    if (!json_is_integer(value))
        give_up("no number %s %s in the statistics", group, name);
    number = (uint64_t)json_integer_value(value);
    json_decref(stats);
    return number;
}

bool rig_wait_nic_gone(struct rig *rig, unsigned guest, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        json_t *list = rig_call(rig, "list", NULL, NULL);
        json_t *nics =
            json_object_get(json_array_get(json_object_get(list, "guests"), guest), "nics");
        bool present = json_is_true(json_object_get(json_array_get(nics, 0), "present"));

        json_decref(list);
        if (!present)
            return true;
        usleep(10000);
    }
    return false;
}

bool rig_wait_running(struct rig *rig, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        json_t *result = rig_call(rig, "list", NULL, NULL), *guest;
        size_t index, running = 0;

        json_array_foreach(json_object_get(result, "guests"), index, guest) running +=
            !strcmp(json_string_value(json_object_get(guest, "state")), "running");
        json_decref(result);
        if (running && running == index)
            return true;
        usleep(10000);
    }
    return false;
}

bool rig_wait_guests(struct rig *rig, unsigned count, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        json_t *list = rig_call(rig, "list", NULL, NULL);
        json_t *guests = json_object_get(list, "guests");
        bool so_many = guests && json_array_size(guests) == count;

        json_decref(list);
        if (so_many && (count || !rig_workers(rig)))
            return true;
        usleep(10000);
    }
    return false;
}

/* ---- what it has -----------------------------------------------------------------------------*/

#define PROCESSES 1025 /* a worker for each of very many guests */

static char *proc_file(pid_t pid, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return read_file(path);
}

/* The daemon, and worker processes after it. Returns how many. */
static unsigned processes(const struct rig *rig, pid_t ret_pids[PROCESSES])
{
    char name[32], *children, *at, *end;
    unsigned n = 1;

    ret_pids[0] = rig->pid;
    snprintf(name, sizeof(name), "task/%d/children", (int)rig->pid);
    children = at = proc_file(rig->pid, name);
    for (long pid; n < PROCESSES && (pid = strtol(at, &end, 10)); at = end)
        ret_pids[n++] = (pid_t)pid;
    free(children);
    return n;
}

unsigned rig_workers(struct rig *rig)
{
    pid_t pids[PROCESSES];

    return processes(rig, pids) - 1;
}

bool rig_wait_workers(struct rig *rig, unsigned count, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        if (rig_workers(rig) == count)
            return true;
        usleep(10000);
    }
    return false;
}

/* Of all processes; one that ends meanwhile has nothing. */
static unsigned long sum(struct rig *rig, unsigned long (*of)(pid_t pid))
{
    pid_t pids[PROCESSES];
    unsigned n = processes(rig, pids);
    unsigned long total = 0;

    for (unsigned i = 0; i < n; i++)
        total += of(pids[i]);
    return total;
}

static unsigned long descriptors_of(pid_t pid)
{
    unsigned long n = 0;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

unsigned rig_descriptors(struct rig *rig)
{
    return (unsigned)sum(rig, descriptors_of);
}

bool rig_wait_descriptors(struct rig *rig, unsigned most, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        if (rig_descriptors(rig) <= most)
            return true;
        usleep(10000);
    }
    return false;
}

unsigned long rig_memfd_mappings_of(pid_t pid)
{
    char *maps = proc_file(pid, "maps");
    unsigned long n = 0;

    for (const char *at = maps; (at = strstr(at, "/memfd:")); at++)
        n += strncmp(at, "/memfd:ioemud-", strlen("/memfd:ioemud-")) != 0; /* its own: no guest's */
    free(maps);
    return n;
}

unsigned rig_memfd_mappings(struct rig *rig)
{
    return (unsigned)sum(rig, rig_memfd_mappings_of);
}

static unsigned long field(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* What daemon and workers share, counters, is nobody else's: of each its part. */
static unsigned long own_shared_kib(const char *smaps)
{
    unsigned long kib = 0;

    for (const char *at = smaps; (at = strstr(at, "/memfd:ioemud-")); at++)
        if (field(at, "\nShared_Dirty:"))
            kib += field(at, "\nPss:");
    return kib;
}

static unsigned long private_kib_of(pid_t pid)
{
    char *rollup = proc_file(pid, "smaps_rollup"), *smaps = proc_file(pid, "smaps");
    unsigned long kib = field(rollup, "Private_Dirty:") + own_shared_kib(smaps);

    free(rollup);
    free(smaps);
    return kib;
}

unsigned long rig_private_kib(struct rig *rig)
{
    return sum(rig, private_kib_of);
}

static unsigned long threads_of(pid_t pid)
{
    char *status = proc_file(pid, "status");
    unsigned long threads = field(status, "Threads:");

    free(status);
    return threads;
}

unsigned rig_threads(struct rig *rig)
{
    return (unsigned)sum(rig, threads_of);
}

static unsigned long wakeups_of(pid_t pid)
{
    unsigned long wakeups = 0;
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char *status;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "task/%.16s/status", entry->d_name);
        status = proc_file(pid, path);
        wakeups += field(status, "\nvoluntary_ctxt_switches:");
        free(status);
    }
    if (dir)
        closedir(dir);
    return wakeups;
}

unsigned long rig_wakeups(struct rig *rig)
{
    return sum(rig, wakeups_of);
}
