/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a path to a JSON object: everything that can be wrong before the first key. */
#include "config/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_file(const char *path, struct config_error *ret_error, int error, const char *why)
{
    snprintf(ret_error->text, sizeof(ret_error->text), "%s: %s", path, why);
    return error;
}

static int read_all(int fd, char **ret_text, size_t *ret_length)
{
    /* One byte more than allowed shows that there was more: the size from fstat may have changed.
     */
    char *text = malloc(CONFIG_FILE_MAX + 1);
    size_t length = 0;

    if (!text)
        return -ENOMEM;
    while (length <= CONFIG_FILE_MAX) {
        ssize_t got = read(fd, text + length, CONFIG_FILE_MAX + 1 - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = -errno;

            free(text);
            return error;
        }
        if (got == 0)
            break;
        length += got;
    }
    if (length > CONFIG_FILE_MAX) {
        free(text);
        return -EFBIG;
    }
    *ret_text = text;
    *ret_length = length;
    return 0;
}

int config_read_file(const char *path, char **ret_text, size_t *ret_length,
                     struct config_error *ret_error)
{
    /* O_NONBLOCK: a fifo in place of the file must not hold up the daemon. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    int error = 0;

    if (fd < 0) {
        error = -errno;
        return fail_file(path, ret_error, error, strerror(-error));
    }
    if (fstat(fd, &status) < 0)
        error = -errno;
    else if (!S_ISREG(status.st_mode))
        error = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    else if (status.st_size > CONFIG_FILE_MAX)
        error = -EFBIG;
    else
        error = read_all(fd, ret_text, ret_length);
    close(fd);
    if (error == -EFBIG)
        return fail_file(path, ret_error, -EINVAL, "larger than 1 MiB: this is no configuration");
    if (error == -EINVAL)
        return fail_file(path, ret_error, error, "a regular file is expected");
    if (error)
        return fail_file(path, ret_error, error, strerror(-error));
    return 0;
}

int config_parse(struct config_reader *reader, json_t **ret_object)
{
    json_error_t error;
    char path[160];

    if (reader->length > CONFIG_FILE_MAX)
        return fail_file(reader->file, reader->error, -EINVAL,
                         "larger than 1 MiB: this is no configuration");

    json_t *object = json_loadb(reader->text, reader->length, JSON_REJECT_DUPLICATES, &error);

    if (object) {
        *ret_object = object;
        return 0;
    }

    /* jansson does not always say that it was this, but always what a mistake is. */
    if (json_error_code(&error) == json_error_out_of_memory || !*error.text)
        return fail_file(reader->file, reader->error, -ENOMEM, "out of memory");

    size_t offset = error.position > 0 ? (size_t)error.position : 0;
    size_t token = json_path_at(reader->text, reader->length, offset, path, sizeof(path));
    struct json_position position = json_position_of_offset(reader->text, reader->length, token);

    for (char *c = error.text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    snprintf(reader->error->text, sizeof(reader->error->text),
             "%s:%u:%u: at %s: this is not JSON: %.200s", reader->file, position.line,
             position.column, path, error.text);
    return -EINVAL;
}
