/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A main() for fuzz_*.c where there is no libFuzzer: replays inputs, then makes up new ones from a
 * seeded generator, by mutation of what it was given and from nothing, for a bounded time.
 *
 *     fuzz_x [-seconds N] [-runs=N] [-seed=N] [-max_len=N] [FILE | DIRECTORY]...
 *
 * -max_total_time=N, as libFuzzer calls it, is -seconds N. With -runs=0 it only replays. An input
 * that kills the program is left in ./crash-NAME.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The sanitizers' last word, where they are linked in. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

#define CORPUS_MAX 4096
#define INPUT_MAX  (1u << 20)

struct input {
    uint8_t *bytes;
    size_t len;
};

struct options {
    uint64_t seconds, runs, seed;
    size_t max_len;
};

/* File scope, because signal handlers and the death callback take no argument. */
static struct input running;
static char crash_name[256];

static void keep_crash(void)
{
    int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    if (write(fd, running.bytes, running.len) == (ssize_t)running.len)
        fprintf(stderr, "input left in %s (%zu bytes)\n", crash_name, running.len);
    close(fd);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    keep_crash();
    raise(number);
}

/* xorshift64*: Marsaglia 2003, Vigna 2016. */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ull;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
    return limit ? next(state) % limit : 0;
}

/* A copy of its own size, so that a sanitizer sees the first byte read beyond it. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    running = (struct input){copy, len};
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

/* Bytes that are often something: small, all-ones, or from a value used before. */
static uint8_t interesting(uint64_t *rng)
{
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x04, 0x7f, 0x80, 0xf0, 0xfe, 0xff};

    if (below(rng, 2))
        return (uint8_t)next(rng);
    return values[below(rng, sizeof(values))];
}

static size_t invent(uint64_t *rng, uint8_t *out, size_t max_len)
{
    size_t len = below(rng, 4) ? below(rng, 256) : below(rng, max_len + 1);

    if (len > max_len)
        len = max_len;
    for (size_t i = 0; i < len; i++)
        out[i] = interesting(rng);
    return len;
}

static size_t cross(uint64_t *rng, uint8_t *out, size_t len, size_t max_len,
                    const struct input *other)
{
    size_t from = below(rng, other->len + 1), at = below(rng, len + 1);
    size_t n = below(rng, other->len - from + 1);

    if (n > max_len - at)
        n = max_len - at;
    memcpy(out + at, other->bytes + from, n);
    return at + n > len ? at + n : len;
}

static size_t mutate(uint64_t *rng, uint8_t *out, size_t max_len, const struct input *corpus,
                     size_t n_corpus)
{
    const struct input *base = &corpus[below(rng, n_corpus)];
    size_t len = base->len < max_len ? base->len : max_len;

    memcpy(out, base->bytes, len);
    for (uint64_t n = 1 + below(rng, 8); n; n--) {
        switch (below(rng, 5)) {
        case 0:
            if (len)
                out[below(rng, len)] = interesting(rng);
            break;
        case 1:
            if (len)
                out[below(rng, len)] ^= (uint8_t)(1 << below(rng, 8));
            break;
        case 2:
            len = below(rng, len + 1);
            break;
        case 3:
            while (len < max_len && below(rng, 16))
                out[len++] = interesting(rng);
            break;
        default:
            len = cross(rng, out, len, max_len, &corpus[below(rng, n_corpus)]);
            break;
        }
    }
    return len;
}

static bool load_file(const char *path, struct input *ret_input)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = malloc(INPUT_MAX);

    if (!file || !bytes) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t len = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    *ret_input = (struct input){realloc(bytes, len ? len : 1), len};
    return ret_input->bytes;
}

static size_t load(const char *path, struct input *corpus, size_t n)
{
    struct stat st;
    struct dirent *entry;

    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        if (n < CORPUS_MAX && load_file(path, &corpus[n]))
            n++;
        return n;
    }
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)) && n < CORPUS_MAX) {
        char name[4096];
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (!stat(name, &st) && S_ISREG(st.st_mode) && load_file(name, &corpus[n]))
            n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

static bool option(const char *arg, const char *name, uint64_t *ret_value)
{
    size_t len = strlen(name);

    if (strncmp(arg, name, len))
        return false;
    *ret_value = strtoull(arg + len, NULL, 0);
    return true;
}

static size_t parse(int argc, char **argv, struct options *options, struct input *corpus)
{
    size_t n = 0;

    for (int i = 1; i < argc; i++) {
        uint64_t max_len;
        if (!strcmp(argv[i], "-seconds") && i + 1 < argc)
            options->seconds = strtoull(argv[++i], NULL, 0);
        else if (option(argv[i], "-max_len=", &max_len))
            options->max_len = max_len < INPUT_MAX ? max_len : INPUT_MAX;
        else if (!option(argv[i], "-max_total_time=", &options->seconds) &&
                 !option(argv[i], "-runs=", &options->runs) &&
                 !option(argv[i], "-seed=", &options->seed) && argv[i][0] != '-')
            n = load(argv[i], corpus, n);
    }
    return n;
}

static time_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

int main(int argc, char **argv)
{
    struct options options = {
        .seconds = 5, .runs = UINT64_MAX, .seed = (uint64_t)time(NULL), .max_len = 4096};
    struct input *corpus = calloc(CORPUS_MAX, sizeof(*corpus));
    const char *slash = strrchr(argv[0], '/');

    if (!corpus)
        return 2;
    snprintf(crash_name, sizeof(crash_name), "crash-%s", slash ? slash + 1 : argv[0]);
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal); /* for fuzzers that guard against hanging by alarm(2) */
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(keep_crash);
    else
        signal(SIGSEGV, on_signal);

    size_t n_corpus = parse(argc, argv, &options, corpus);
    for (size_t i = 0; i < n_corpus; i++)
        run(corpus[i].bytes, corpus[i].len);

    uint8_t *buf = malloc(options.max_len ? options.max_len : 1);
    uint64_t rng = options.seed * 2 + 1, runs = 0;
    time_t end = now() + (time_t)options.seconds;
    if (!buf)
        return 2;
    while (runs < options.runs && now() < end) {
        size_t len = n_corpus && below(&rng, 4)
                         ? mutate(&rng, buf, options.max_len, corpus, n_corpus)
                         : invent(&rng, buf, options.max_len);
        run(buf, len);
        runs++;
    }
    printf("replayed %zu, made %llu, seed %llu\n", n_corpus, (unsigned long long)runs,
           (unsigned long long)options.seed);
    for (size_t i = 0; i < n_corpus; i++)
        free(corpus[i].bytes);
    free(corpus);
    free(buf);
    return 0;
}
