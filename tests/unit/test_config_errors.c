/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every folder below tests/config is one bad configuration, input.json, and the one line that it
 * must be answered with, expected. What the folder's name begins with says what is read: "daemon-"
 * the daemon's own file, "guest-" guests.d/web1.json.
 *
 * To write or change one: run with IOEMUD_WRITE_EXPECTED=1 and read what `git diff` shows.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

#define INPUT_MAX 4096

static size_t read_file(const char *folder, const char *name, char ret_text[INPUT_MAX])
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s/%s", CONFIG_CASES, folder, name);

    FILE *file = fopen(path, "rb");

    if (!file)
        fail_msg("%s: cannot be read", path);

    size_t length = fread(ret_text, 1, INPUT_MAX - 1, file);

    fclose(file);
    ret_text[length] = '\0';
    return length;
}

static void write_expected(const char *folder, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s/expected", CONFIG_CASES, folder);

    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}

/* True: the input was refused. Outputs must be untouched then, which the poison shows. */
static bool is_refused(const char *folder, const char *text, size_t length,
                       struct config_error *ret_error)
{
    if (strncmp(folder, "daemon-", 7) == 0) {
        struct daemon_config config, poison;

        memset(&config, 0x5a, sizeof(config));
        memcpy(&poison, &config, sizeof(config));
        if (daemon_config_parse(text, length, "ioemud.json", &config, ret_error) == 0) {
            daemon_config_finish(&config);
            return false;
        }
        assert_memory_equal(&config, &poison, sizeof(config));
        return true;
    }
    struct guest_config config, poison;

    memset(&config, 0x5a, sizeof(config));
    memcpy(&poison, &config, sizeof(config));
    if (guest_config_parse(text, length, "guests.d/web1.json", &config, ret_error) == 0) {
        guest_config_finish(&config);
        return false;
    }
    assert_memory_equal(&config, &poison, sizeof(config));
    return true;
}

static int check_case(const char *folder)
{
    char text[INPUT_MAX], expected[INPUT_MAX];
    struct config_error error = {""};
    size_t length = read_file(folder, "input.json", text);
    /* Of just this size, so that the address sanitizer sees a scanner that reads on. */
    char *exact = malloc(length ? length : 1);

    assert_non_null(exact);
    memcpy(exact, text, length);
    bool refused = is_refused(folder, exact, length, &error);

    free(exact);
    if (!refused) {
        print_error("%s: was taken\n", folder);
        return 1;
    }
    if (getenv("IOEMUD_WRITE_EXPECTED")) {
        write_expected(folder, error.text);
        return 0;
    }
    read_file(folder, "expected", expected);
    expected[strcspn(expected, "\n")] = '\0';
    if (strcmp(expected, error.text) == 0)
        return 0;
    print_error("%s:\n  expected: %s\n  got:      %s\n", folder, expected, error.text);
    return 1;
}

static void test_every_bad_file_gets_its_message(void **state)
{
    DIR *folders = opendir(CONFIG_CASES);
    struct dirent *entry;
    unsigned cases = 0, wrong = 0;

    assert_non_null(folders);
    while ((entry = readdir(folders)))
        if (strncmp(entry->d_name, "daemon-", 7) == 0 || strncmp(entry->d_name, "guest-", 6) == 0) {
            cases++;
            wrong += check_case(entry->d_name);
        }
    closedir(folders);
    assert_true(cases > 40);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bad_file_gets_its_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
