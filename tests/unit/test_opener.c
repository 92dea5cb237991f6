/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the opener makes and says when the daemon is not root, as in its unit. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/opener.h"

static char dir[] = "/tmp/opener.XXXXXX";

/* A process of nobody's, in this group alone. What `body` says is its exit status. */
static int as_nobody(const char *group, int (*body)(const char *group))
{
    const struct passwd *nobody = getpwnam("nobody");
    const struct group *entry = getgrnam(group);
    int status;
    pid_t pid;

    if (geteuid() != 0 || !nobody || !entry)
        skip();
    assert_int_equal(chown(dir, nobody->pw_uid, entry->gr_gid), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(setgroups(0, NULL) || setgid(entry->gr_gid) || setuid(nobody->pw_uid) ? 99
                                                                                    : body(group));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int listen_for(const char *group, char *why)
{
    char path[sizeof(dir) + 8];
    int fd = -1, err;

    snprintf(path, sizeof(path), "%s/sock", dir);
    err = opener_listen(path, SOCK_STREAM, 0660, group, &fd, why);
    if (!err) {
        struct stat st;

        if (stat(path, &st) || (st.st_mode & 0777) != 0660)
            err = 1;
        unlink(path);
        close(fd);
    }
    return err;
}

static int its_own(const char *group)
{
    char why[OPENER_WHY_SIZE];

    return listen_for(group, why) != 0;
}

static int another(const char *group)
{
    char why[OPENER_WHY_SIZE] = "";

    return listen_for("adm", why) != -EPERM || !strstr(why, "Group=adm");
}

static void a_socket_may_have_the_group_of_who_is_not_root(void **state)
{
    assert_int_equal(as_nobody("daemon", its_own), 0);
}

static void no_other_group_is_a_hint_at_the_unit(void **state)
{
    assert_int_equal(as_nobody("daemon", another), 0);
}

static void an_image_that_the_unit_hides_is_a_hint_at_it(void **state)
{
    static char *const hidden[] = {"/home/me/no.img", "/root/no.img", "/tmp/no/no.img",
                                   "/var/tmp/no/no.img", "/run/user/0/no.img"};
    char why[OPENER_WHY_SIZE];
    struct raw_image image;

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        struct disk_config disk = {.path = hidden[i]};

        assert_int_equal(opener_disk(&disk, &image, why), -ENOENT);
        assert_non_null(strstr(why, hidden[i]));
        assert_non_null(strstr(why, "images.conf"));
    }
}

static void one_that_is_nowhere_is_none(void **state)
{
    struct disk_config disk = {.path = "/srv/no/tmp/no.img"};
    char why[OPENER_WHY_SIZE];
    struct raw_image image;

    assert_int_equal(opener_disk(&disk, &image, why), -ENOENT);
    assert_null(strstr(why, "images.conf"));
}

static void a_capture_that_the_unit_hides_is_a_hint_at_it(void **state)
{
    char why[OPENER_WHY_SIZE];
    int fd;

    assert_int_equal(opener_capture("/root/no/no.pcap", &fd, why), -ENOENT);
    assert_non_null(strstr(why, "does not see /root/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_may_have_the_group_of_who_is_not_root),
        cmocka_unit_test(no_other_group_is_a_hint_at_the_unit),
        cmocka_unit_test(an_image_that_the_unit_hides_is_a_hint_at_it),
        cmocka_unit_test(one_that_is_nowhere_is_none),
        cmocka_unit_test(a_capture_that_the_unit_hides_is_a_hint_at_it),
    };
    int status;

    if (!mkdtemp(dir))
        return 1;
    status = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return status;
}
