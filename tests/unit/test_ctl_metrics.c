/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/ctl_metrics.h"

struct fixture {
    char dir[32], path[64];
    char why[CTL_WHY_SIZE];
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    *f = (struct fixture){.dir = "/tmp/test_ctl_metrics.XXXXXX"};
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/ioemud.prom", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    return rmdir(f->dir); /* nothing else may be there */
}

static void expect(struct fixture *f, const char *text)
{
    char got[64] = "";
    struct stat st;
    int fd = open(f->path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    close(fd);
}

static void a_file_is_there_whole_and_readable_for_everybody(void **state)
{
    struct fixture *f = *state;

    umask(077);
    assert_int_equal(ctl_write_textfile(f->path, "a 1\n", f->why), 0);
    expect(f, "a 1\n");
}

/* Who has the old one open goes on reading that. */
static void the_old_file_is_replaced_not_written_over(void **state)
{
    struct fixture *f = *state;
    char old[16] = "";
    int fd;

    assert_int_equal(ctl_write_textfile(f->path, "a 1\nb 2\n", f->why), 0);
    fd = open(f->path, O_RDONLY);
    assert_int_equal(ctl_write_textfile(f->path, "c 3\n", f->why), 0);
    expect(f, "c 3\n");
    assert_int_equal(read(fd, old, sizeof(old) - 1), 8);
    assert_string_equal(old, "a 1\nb 2\n");
    close(fd);
}

static void what_cannot_be_written_leaves_the_old_file_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/none/ioemud.prom", f->dir);
    assert_int_equal(ctl_write_textfile(path, "a 1\n", f->why), -ENOENT);
    assert_non_null(strstr(f->why, "none/ioemud.prom: No such file"));
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(ctl_write_textfile(f->path, "a 1\n", f->why), -EISDIR);
    assert_int_equal(rmdir(f->path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_there_whole_and_readable_for_everybody),
        TEST(the_old_file_is_replaced_not_written_over),
        TEST(what_cannot_be_written_leaves_the_old_file_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
