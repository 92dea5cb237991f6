// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/chr.h"
#include "tests/unit/fake_loop.h"

struct line {
    struct fake_loop *fake;
    struct chr *chr;
    size_t room;
    char input[64 * 1024];
    size_t got;
    unsigned writables;
    bool close_on_input;
    int fd; /* kept by the test */
    char name[108];
};

static size_t on_room(void *owner)
{
    struct line *line = owner;
    return line->room;
}

static void on_input(void *owner, const uint8_t *bytes, size_t len)
{
    struct line *line = owner;
    assert_true(len > 0 && len <= line->room);
    memcpy(line->input + line->got, bytes, len);
    line->got += len;
    line->room -= len;
    if (line->close_on_input) {
        chr_close(line->chr);
        line->chr = NULL;
    }
}

static void on_writable(void *owner)
{
    struct line *line = owner;
    line->writables++;
}

static const struct chr_client_ops ops = {on_room, on_input, on_writable};

static int setup(void **state)
{
    struct line *line = calloc(1, sizeof(*line));
    line->fake = fake_loop_create();
    line->room = sizeof(line->input);
    line->fd = -1;
    *state = line;
    return 0;
}

static int teardown(void **state)
{
    struct line *line = *state;
    chr_close(line->chr);
    fake_loop_destroy(line->fake);
    if (line->fd >= 0)
        close(line->fd);
    free(line);
    return 0;
}

static void open_pty(struct line *line)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(unlockpt(master), 0);
    assert_int_equal(ptsname_r(master, line->name, sizeof(line->name)), 0);
    assert_int_equal(chr_open_fd(master, true, fake_loop(line->fake), &line->chr), 0);
    chr_bind(line->chr, &ops, line);
}

static int open_slave(struct line *line)
{
    int fd = open(line->name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool got_input(struct line *line, size_t len)
{
    for (unsigned i = 0; i < 200 && line->got < len; i++)
        fake_loop_turn(line->fake, 10);
    return line->got == len;
}

static unsigned settle(struct line *line)
{
    return fake_loop_settle(line->fake, 20, 100);
}

static void write_string(struct line *line, const char *text)
{
    while (*text)
        assert_true(chr_write(line->chr, (uint8_t)*text++));
    settle(line);
}

/* All that there is to read, up to `size`. */
static size_t read_all(int fd, char *buf, size_t size)
{
    size_t got = 0;
    ssize_t n;
    while (got < size && (n = read(fd, buf + got, size - got)) > 0)
        got += (size_t)n;
    return got;
}

/* The kernel delivers a pty's bytes in its own time. */
static void expect_read(int fd, const char *text)
{
    char buf[256] = "";
    size_t got = 0;
    for (unsigned i = 0; i < 200 && got <= strlen(text); i++) {
        got += read_all(fd, buf + got, sizeof(buf) - 1 - got);
        if (got == strlen(text))
            break;
        usleep(10000);
    }
    assert_string_equal(buf, text);
}

/* A watcher that spins would have something to do in every turn. */
static void expect_quiet(struct line *line)
{
    assert_true(settle(line) < 10);
}

/* Until it is refused; how many were taken. */
static unsigned write_until_refused(struct line *line, unsigned max)
{
    unsigned n = 0;
    for (;;) {
        while (n < max && chr_write(line->chr, (uint8_t)('a' + n % 26)))
            n++;
        unsigned before = n;
        fake_loop_settle(line->fake, 0, 50);
        line->writables = 0; /* of this refusal: the kernel may have made room for the one before */
        if (n >= max || !chr_write(line->chr, (uint8_t)('a' + n % 26)))
            return n;
        n = before + 1;
    }
}

static void a_pty_carries_bytes_both_ways_unchanged(void **state)
{
    struct line *line = *state;
    open_pty(line);
    int slave = open_slave(line);
    write_string(line, "login:\r\n\x03\x11 ");
    expect_read(slave, "login:\r\n\x03\x11 ");
    assert_int_equal(write(slave, "root\n\x04", 6), 6);
    assert_true(got_input(line, 6));
    assert_memory_equal(line->input, "root\n\x04", 6);
    close(slave);
}

static void what_a_guest_says_is_not_echoed_to_it(void **state)
{
    struct line *line = *state;
    open_pty(line);
    write_string(line, "hello\n");
    int slave = open_slave(line);
    write_string(line, "again\n");
    close(slave);
    write_string(line, "and again\n");
    assert_int_equal(line->got, 0);
}

static void a_pty_without_a_listener_neither_spins_nor_refuses(void **state)
{
    struct line *line = *state;
    open_pty(line);
    expect_quiet(line);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 5000; i++)
            assert_true(chr_write(line->chr, 'x'));
        expect_quiet(line);
    }
    expect_quiet(line);
    int slave = open_slave(line);
    static char buf[1 << 20];
    size_t n = read_all(slave, buf, sizeof(buf));
    assert_true(n < 100000); /* most were dropped */
    settle(line);
    read_all(slave, buf, sizeof(buf));
    write_string(line, "now you listen");
    expect_read(slave, "now you listen");
    close(slave);
}

static void a_late_listener_finds_the_last_output_and_is_heard(void **state)
{
    struct line *line = *state;
    open_pty(line);
    write_string(line, "booting");
    int slave = open_slave(line);
    expect_read(slave, "booting");
    assert_int_equal(write(slave, "k", 1), 1);
    assert_true(got_input(line, 1));
    close(slave);
}

static void a_pty_whose_listener_left_works_for_the_next(void **state)
{
    struct line *line = *state;
    open_pty(line);
    for (unsigned i = 0; i < 3; i++) {
        int slave = open_slave(line);
        write_string(line, "ping");
        expect_read(slave, "ping");
        close(slave);
        expect_quiet(line);
        expect_quiet(line);
    }
}

static void a_slow_listener_is_waited_for_and_writable_follows(void **state)
{
    struct line *line = *state;
    open_pty(line);
    int slave = open_slave(line);
    unsigned taken = write_until_refused(line, 1000000);
    assert_true(taken >= 4096 && taken < 1000000);
    assert_int_equal(line->writables, 0);
    expect_quiet(line); /* not spinning */
    static char buf[1000000];
    size_t n = 0;
    for (unsigned i = 0; i < 1000 && n < taken; i++) {
        n += read_all(slave, buf + n, sizeof(buf) - n);
        fake_loop_settle(line->fake, 1, 20);
    }
    assert_int_equal(n, taken);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf[i], 'a' + i % 26);
    assert_int_equal(line->writables, 1);
    write_string(line, "!");
    expect_read(slave, "!");
    close(slave);
    expect_quiet(line);
}

static void a_listener_who_leaves_while_the_line_is_full_frees_it(void **state)
{
    struct line *line = *state;
    open_pty(line);
    int slave = open_slave(line);
    assert_true(write_until_refused(line, 1000000) < 1000000);
    /* The kernel may have made room since the first refusal; what counts is what follows. */
    while (chr_write(line->chr, 'z'))
        ;
    unsigned writables = line->writables;
    close(slave);
    settle(line);
    assert_int_equal(line->writables, writables + 1);
    expect_quiet(line);
    assert_true(chr_write(line->chr, 'y'));
    settle(line);
    slave = open_slave(line);
    struct termios termios;
    assert_int_equal(tcgetattr(slave, &termios), 0);
    assert_int_equal(termios.c_lflag & (ECHO | ICANON), 0);
    close(slave);
    assert_int_equal(line->got, 0);
}

/* What getty does to its line. */
static void a_vhangup_of_the_slave_is_survived(void **state)
{
    struct line *line = *state;
    open_pty(line);
    int slave = open_slave(line);
    write_string(line, "before");
    if (ioctl(slave, TIOCVHANGUP)) {
        close(slave);
        skip();
    }
    close(slave);
    expect_quiet(line);
    slave = open_slave(line);
    write_string(line, "lost"); /* shows that the terminal echoes again */
    assert_int_equal(line->got, 0);
    write_string(line, "after");
    expect_read(slave, "after");
    assert_int_equal(write(slave, "in", 2), 2);
    assert_true(got_input(line, 2));
    close(slave);
}

static void a_device_without_room_is_not_given_input_until_it_accepts(void **state)
{
    struct line *line = *state;
    line->room = 3;
    open_pty(line);
    int slave = open_slave(line);
    assert_int_equal(write(slave, "abcdef", 6), 6);
    expect_quiet(line);
    assert_int_equal(line->got, 3);
    expect_quiet(line);
    line->room = 100;
    chr_accept(line->chr);
    assert_int_equal(line->got, 3); /* never inline */
    assert_true(got_input(line, 6));
    assert_memory_equal(line->input, "abcdef", 6);
    close(slave);
}

static void a_device_may_close_the_line_from_input(void **state)
{
    struct line *line = *state;
    line->close_on_input = true;
    open_pty(line);
    int slave = open_slave(line);
    assert_int_equal(write(slave, "x", 1), 1);
    settle(line);
    assert_null(line->chr);
    close(slave);
}

static void a_file_takes_everything_and_has_no_input(void **state)
{
    struct line *line = *state;
    char path[] = "test_chr.XXXXXX";
    line->fd = mkstemp(path);
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    unlink(path);
    assert_int_equal(chr_open_fd(fd, true, fake_loop(line->fake), &line->chr), 0);
    chr_bind(line->chr, &ops, line);
    for (unsigned i = 0; i < 20000; i++)
        assert_true(chr_write(line->chr, (uint8_t)('a' + i % 26)));
    expect_quiet(line);
    chr_write(line->chr, '!');
    chr_close(line->chr); /* with its last words */
    line->chr = NULL;
    static char buf[30000];
    assert_int_equal(read_all(line->fd, buf, sizeof(buf)), 20001);
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(buf[i], 'a' + i % 26);
    assert_int_equal(buf[20000], '!');
    assert_int_equal(line->got, 0);
}

static void a_full_filesystem_drops_and_does_not_spin(void **state)
{
    struct line *line = *state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    assert_int_equal(chr_open_fd(fd, true, fake_loop(line->fake), &line->chr), 0);
    chr_bind(line->chr, &ops, line);
    for (unsigned i = 0; i < 20000; i++)
        assert_true(chr_write(line->chr, 'x'));
    expect_quiet(line);
}

static void on_full(void *arg)
{
    ++*(unsigned *)arg;
}

static off_t size_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static void write_all(struct line *line, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        assert_true(chr_write(line->chr, 'x')); /* a file never holds the guest up */
    expect_quiet(line);
}

static void a_file_does_not_grow_beyond_its_limit(void **state)
{
    struct line *line = *state;
    int first = memfd_create("first", MFD_CLOEXEC), second = memfd_create("second", MFD_CLOEXEC);
    uint64_t now = CHR_RENEW_NS;
    unsigned full = 0;

    fake_loop_set_clock(line->fake, now);
    line->fd = dup(first);
    assert_int_equal(write(first, "before", 6), 6);
    assert_int_equal(chr_open_fd(first, false, fake_loop(line->fake), &line->chr), 0);
    chr_limit(line->chr, 100000, on_full, &full);
    write_all(line, 500000);
    assert_int_equal(full, 1);
    assert_true(size_of(line->fd) >= 100000 && size_of(line->fd) < 105000);
    assert_int_equal(*chr_dropped(line->chr), 500000 + 6 - size_of(line->fd));

    close(line->fd);
    line->fd = dup(second);
    chr_renew(line->chr, second);
    write_all(line, 500000);
    assert_int_equal(full, 1); /* not so soon again */
    assert_true(size_of(line->fd) >= 100000 && size_of(line->fd) < 105000);
    fake_loop_set_clock(line->fake, now += CHR_RENEW_NS);
    write_all(line, 1);
    assert_int_equal(full, 2);
    chr_renew(line->chr, -1); /* there is none */
    write_all(line, 10);
    assert_int_equal(full, 2);
    fake_loop_set_clock(line->fake, now += CHR_RENEW_NS);
    write_all(line, 10);
    assert_int_equal(full, 3);
}

static int listen_at(struct line *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(line->name, sizeof(line->name), "test_chr.%d.sock", (int)getpid());
    strcpy(address.sun_path, line->name);
    unlink(line->name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(chr_open_listener(fd, fake_loop(line->fake), &line->chr), 0);
    chr_bind(line->chr, &ops, line);
    return fd;
}

static int connect_to(struct line *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, line->name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void socket_clients_are_served_one_after_the_other(void **state)
{
    struct line *line = *state;
    listen_at(line);
    write_string(line, "nobody hears this");
    int a = connect_to(line), b = connect_to(line);
    settle(line);
    write_string(line, "one");
    expect_read(a, "one");
    expect_read(b, "");
    assert_int_equal(write(b, "early", 5), 5);
    assert_int_equal(write(a, "x", 1), 1);
    assert_true(got_input(line, 1));
    close(a);
    settle(line);
    write_string(line, "two");
    expect_read(b, "two");
    assert_int_equal(line->got, 6);
    close(b);
    expect_quiet(line);
    write_string(line, "nobody again");
    expect_quiet(line);
    unlink(line->name);
}

static void a_client_that_leaves_in_the_middle_kills_nobody(void **state)
{
    struct line *line = *state;
    listen_at(line);
    int a = connect_to(line);
    settle(line);
    assert_true(write_until_refused(line, 10000000) < 10000000);
    expect_quiet(line);
    close(a); /* with output pending, and no SIGPIPE */
    settle(line);
    assert_int_equal(line->writables, 1);
    a = connect_to(line);
    settle(line);
    write_string(line, "fresh");
    expect_read(a, "fresh");
    shutdown(a, SHUT_RD); /* writing to it gives EPIPE */
    for (unsigned i = 0; i < 100; i++)
        assert_true(chr_write(line->chr, 'x'));
    settle(line);
    expect_quiet(line);
    close(a);
    unlink(line->name);
}

static void a_slow_client_is_waited_for(void **state)
{
    struct line *line = *state;
    listen_at(line);
    int a = connect_to(line);
    settle(line);
    unsigned taken = write_until_refused(line, 10000000);
    static char buf[1 << 20];
    size_t n = 0;
    for (unsigned i = 0; i < 1000 && n < taken; i++) {
        n += read_all(a, buf, sizeof(buf));
        fake_loop_settle(line->fake, 1, 20);
    }
    assert_int_equal(n, taken);
    assert_int_equal(line->writables, 1);
    close(a);
    unlink(line->name);
}

static void a_listener_who_was_given_up_on_finds_what_came_after_he_read_on(void **state)
{
    struct line *line = *state;
    open_pty(line);
    int slave = open_slave(line);
    write_until_refused(line, 1000000);
    while (chr_write(line->chr, 'z'))
        ;
    unsigned writables = line->writables;
    chr_give_up(line->chr);
    for (unsigned i = 0; i < 100000; i++)
        assert_true(chr_write(line->chr, '#'));
    expect_quiet(line);
    static char buf[1000000];
    for (unsigned i = 0; i < 100; i++) {
        size_t n = read_all(slave, buf, sizeof(buf));
        assert_null(memchr(buf, '#', n));
        fake_loop_settle(line->fake, 1, 20);
    }
    assert_int_equal(line->writables, writables);
    write_string(line, "!");
    expect_read(slave, "!");
    close(slave);
}

static void without_descriptors_the_listener_does_not_spin(void **state)
{
    struct line *line = *state;
    listen_at(line);
    int a = connect_to(line);
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 2; /* room for poll(2)'s array, not for a new descriptor */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    unsigned turns = settle(line);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(turns, 1);
    write_string(line, "x"); /* and tries again when the guest speaks */
    settle(line);
    write_string(line, "hello");
    expect_read(a, "hello");
    close(a);
    unlink(line->name);
}

static void a_connected_socket_serves_too(void **state)
{
    struct line *line = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(chr_open_fd(pair[0], true, fake_loop(line->fake), &line->chr), 0);
    chr_bind(line->chr, &ops, line);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    write_string(line, "hi");
    expect_read(pair[1], "hi");
    assert_int_equal(write(pair[1], "ho", 2), 2);
    assert_true(got_input(line, 2));
    close(pair[1]);
    settle(line);
    for (unsigned i = 0; i < 10000; i++)
        assert_true(chr_write(line->chr, 'x'));
    expect_quiet(line);
}

static void what_is_no_line_is_refused(void **state)
{
    struct line *line = *state;
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chr_open_fd(dir, true, fake_loop(line->fake), &line->chr), -EINVAL);
    close(dir); /* it stayed ours */
    assert_int_equal(chr_open_fd(-1, true, fake_loop(line->fake), &line->chr), -EBADF);
    assert_null(line->chr);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_pty_carries_bytes_both_ways_unchanged),
        T(what_a_guest_says_is_not_echoed_to_it),
        T(a_pty_without_a_listener_neither_spins_nor_refuses),
        T(a_late_listener_finds_the_last_output_and_is_heard),
        T(a_pty_whose_listener_left_works_for_the_next),
        T(a_slow_listener_is_waited_for_and_writable_follows),
        T(a_listener_who_leaves_while_the_line_is_full_frees_it),
        T(a_vhangup_of_the_slave_is_survived),
        T(a_device_without_room_is_not_given_input_until_it_accepts),
        T(a_device_may_close_the_line_from_input),
        T(a_file_takes_everything_and_has_no_input),
        T(a_full_filesystem_drops_and_does_not_spin),
        T(a_file_does_not_grow_beyond_its_limit),
        T(socket_clients_are_served_one_after_the_other),
        T(a_client_that_leaves_in_the_middle_kills_nobody),
        T(a_slow_client_is_waited_for),
        T(a_listener_who_was_given_up_on_finds_what_came_after_he_read_on),
        T(without_descriptors_the_listener_does_not_spin),
        T(a_connected_socket_serves_too),
        T(what_is_no_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
