/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ioemuctl top` on the whole screen, by ncurses. */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ctl_top.h"

struct screen {
    struct ctl_client *client;
    const struct top_options *options;
    struct top *top;
    enum top_key key;
    bool reverse, utf8;
    size_t first; /* row that is on top */
    unsigned shown;
    uint64_t sequence;
    bool over;
};

static const struct {
    int key;
    enum top_key sorts;
} keys[] = {
    {'n', TOP_NAME},    {'r', TOP_REQUESTS}, {'d', TOP_READ},
    {'w', TOP_WRITTEN}, {'t', TOP_NETWORK},  {'l', TOP_LATENCY},
};

/* The text for the row, as eighths of a block where the terminal can. */
static void draw_history(const struct screen *screen, const struct top_row *row, int y, int x)
{
    static const char *const levels[TOP_LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    char history[TOP_HISTORY * 4 + 1];

    if (!screen->utf8 || x < 0)
        return;
    top_history(row, levels, history);
    mvaddstr(y, x, history);
    clrtoeol();
}

static void draw_help(const struct screen *screen)
{
    move(LINES - 1, 0);
    attron(A_REVERSE);
    printw(" sorted by %s%s  n name  r requests  d read  w written  t network  l latency  "
           "R reverse  q quit ",
           top_key_name(screen->key), screen->reverse ? ", reversed" : "");
    attroff(A_REVERSE);
    clrtoeol();
}

/* Line 0 is the daemon's, 1 the titles', then rows from screen->first on. */
static void draw_lines(const struct screen *screen, char *text)
{
    size_t line = 0, rows = LINES > 3 ? (size_t)LINES - 3 : 0;
    int history = -1;
    char *save;

    for (char *at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save), line++) {
        const char *title = line == 1 ? strstr(at, TOP_HISTORY_TITLE) : NULL;
        size_t row = line - 2;
        int y = (int)line;

        if (title)
            history = (int)(title - at);
        if (line >= 2) {
            if (row < screen->first || row - screen->first >= rows)
                continue;
            y = (int)(row - screen->first) + 2;
        }
        if (line == 1)
            attron(A_REVERSE);
        mvaddnstr(y, 0, at, COLS);
        if (y < LINES - 1)
            clrtoeol();
        attroff(A_REVERSE);
        if (line >= 2 && row < screen->top->n_rows && history < COLS - TOP_HISTORY)
            draw_history(screen, &screen->top->row[row], y, history);
    }
}

static void draw(struct screen *screen)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return;
    top_sort(screen->top, screen->key, screen->reverse);
    if (screen->first >= screen->top->n_rows)
        screen->first = screen->top->n_rows ? screen->top->n_rows - 1 : 0;
    top_print(screen->top, COLS > 0 ? (unsigned)COLS : 80, out);
    fclose(out);
    erase();
    if (screen->shown)
        draw_lines(screen, text);
    else
        mvaddstr(0, 0, "waiting for the second sample");
    draw_help(screen);
    refresh();
    free(text);
}

static void on_key(struct screen *screen, int key)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].key == key)
            screen->key = keys[i].sorts;
    if (key == 'R')
        screen->reverse = !screen->reverse;
    else if (key == KEY_DOWN && screen->first + 1 < screen->top->n_rows)
        screen->first++;
    else if (key == KEY_UP && screen->first)
        screen->first--;
    else if (key == 'q')
        screen->over = true;
}

static int on_sample(struct screen *screen)
{
    bool complete;
    int error =
        top_next(screen->client, screen->options, screen->top, &screen->sequence, &complete);

    if (error)
        return error;
    screen->shown += complete;
    if (screen->options->iterations && screen->shown >= screen->options->iterations)
        screen->over = true;
    return 0;
}

/* A key or a sample, whatever comes first. */
static int step(struct screen *screen)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = screen->client->fd, .events = POLLIN}};
    int wait_ms = (int)screen->client->timeout_s * 1000, key, ready;

    if (ctl_client_has_line(screen->client))
        return on_sample(screen);
    ready = poll(fds, 2, wait_ms);
    if (ready < 0 && errno != EINTR)
        return -errno;
    while ((key = getch()) != ERR)
        on_key(screen, key);
    if (ready > 0 && fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        screen->over = true; /* the terminal is gone */
    if (ready == 0 || (ready > 0 && fds[1].revents))
        return on_sample(screen); /* which says that nothing comes */
    return 0;
}

int top_screen(struct ctl_client *client, const struct top_options *options, struct top *top)
{
    struct screen screen = {.client = client, .options = options, .top = top, .key = options->key};
    SCREEN *terminal;
    int error = 0;

    setlocale(LC_CTYPE, "");
    screen.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    terminal = newterm(NULL, stdout, stdin);
    if (!terminal) {
        snprintf(client->error, sizeof(client->error),
                 "this terminal cannot show it (TERM=%s); try --batch",
                 getenv("TERM") ? getenv("TERM") : "");
        return -EREMOTEIO;
    }
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    while (!screen.over && !error) {
        draw(&screen);
        error = step(&screen);
    }
    endwin();
    delscreen(terminal);
    return error;
}
