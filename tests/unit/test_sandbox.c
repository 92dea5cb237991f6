/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon/sandbox.h from both sides: a child is confined as a worker process is and tries things,
 * the parent is the control side. What the child finds is its exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libaio.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <xenctrl.h>

#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "daemon/sandbox.h"
#include "ioreq/grant_remote.h"
#include "tests/unit/broker_rig.h"

#define NOBODY 65534

/* 0: the child exits with it. */
typedef int body(void);

struct seen {
    int status; /* the child's exit status; -1: a signal */
    unsigned told;
    char calls[256]; /* " openat openat socket" */
};

static int pass_on(int sock, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

    *cmsg = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    return sendmsg(sock, &message, 0) == 1 ? 0 : -1;
}

static int take_over(int sock)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd;

    if (recvmsg(sock, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static int link_sock;

__attribute__((noreturn)) static void confined(int sock, const struct sandbox_params *params,
                                               body *before, body *inside)
{
    const char *why;
    int listener;

    link_sock = sock; /* the one by which its listener goes */
    if (before && before())
        _exit(90);
    if (sandbox_confine(params, &why))
        _exit(91);
    if (sandbox_filter(sock, &listener, &why))
        _exit(92);
    if (pass_on(sock, listener) || close(listener))
        _exit(93);
    _exit(inside());
}

/* The control side's part, until the child has ended. */
static struct seen run(const struct sandbox_params *params, body *before, body *inside)
{
    struct seen seen = {0};
    int sock[2], status, listener;
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        confined(sock[1], params, before, inside);
    close(sock[1]);
    listener = take_over(sock[0]);
    for (;;) {
        struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
        struct sandbox_attempt attempt;
        char name[SANDBOX_NAME_SIZE];

        if (listener < 0 || poll(&poll_fd, 1, 10000) != 1 || !(poll_fd.revents & POLLIN))
            break;
        if (sandbox_denied(listener, &attempt))
            continue;
        sandbox_call_name(attempt.number, name);
        seen.told++;
        if (strlen(seen.calls) + strlen(name) + 2 < sizeof(seen.calls)) {
            strcat(seen.calls, " ");
            strcat(seen.calls, name);
        }
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    seen.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (listener >= 0)
        close(listener);
    close(sock[0]);
    return seen;
}

static const struct sandbox_params as_it_is;

static struct seen try(body *inside)
{
    return run(&as_it_is, NULL, inside);
}

/* Each try in there that is not refused is a bit in the exit status. */
#define REFUSED(bit, call) ((call) == -1 && errno == EPERM ? 0 : 1 << (bit))

/* ---- what it cannot do ------------------------------------------------------------------------*/

static int open_files(void)
{
    struct stat st;

    return REFUSED(0, open("/etc/passwd", O_RDONLY)) | REFUSED(1, open("/dev/null", O_RDWR)) |
           REFUSED(2, open("/dev/xen/privcmd", O_RDWR)) |
           REFUSED(3, open("/tmp/x", O_RDWR | O_CREAT, 0600)) |
           REFUSED(4, syscall(SYS_open, "/etc/passwd", O_RDONLY)) |
           REFUSED(5, stat("/etc/passwd", &st)) | REFUSED(6, unlink("/tmp/x"));
}

static void opens_no_file(void **state)
{
    struct seen seen = try(open_files);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " openat openat openat openat open newfstatat unlink");
}

static int run_programs(void)
{
    char *argv[] = {(char[]){"true"}, NULL}, *envp[] = {NULL};

    return REFUSED(0, execve("/bin/true", argv, envp)) | REFUSED(1, fork()) | REFUSED(2, vfork());
}

static void runs_no_program_and_makes_no_process(void **state)
{
    struct seen seen = try(run_programs);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " execve clone vfork");
}

static int connect_sockets(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/private"};
    int pair[2];

    return REFUSED(0, socket(AF_UNIX, SOCK_STREAM, 0)) |
           REFUSED(1, socket(AF_INET, SOCK_STREAM, 0)) |
           REFUSED(2, connect(0, (struct sockaddr *)&addr, sizeof(addr))) |
           REFUSED(3, bind(0, (struct sockaddr *)&addr, sizeof(addr))) |
           REFUSED(4, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static void makes_no_connection(void **state)
{
    struct seen seen = try(connect_sockets);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " socket socket connect bind socketpair");
}

static int reach_others(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};

    return REFUSED(0, ptrace(PTRACE_ATTACH, getppid(), 0, 0)) |
           REFUSED(1, process_vm_readv(1, &here, 1, &there, 1, 0)) |
           REFUSED(2, process_vm_writev(1, &here, 1, &there, 1, 0)) | REFUSED(3, kill(1, 0)) |
           REFUSED(4, syscall(SYS_tgkill, 1, 1, 0)) | REFUSED(5, syscall(SYS_pidfd_open, 1, 0)) |
           REFUSED(6, syscall(SYS_pidfd_getfd, 0, 0, 0));
}

static void reaches_no_other_process(void **state)
{
    struct seen seen = try(reach_others);

    assert_int_equal(seen.status, 0);
    /* getppid() is one of those, and harmless. */
    assert_string_equal(seen.calls,
                        " getppid ptrace process_vm_readv process_vm_writev kill tgkill "
                        "pidfd_open pidfd_getfd");
}

/* Of a descriptor that would do it, which this machine has not: seccomp is asked before. */
static int call_hypervisor(void)
{
    privcmd_hypercall_t hypercall = {0};
    domid_t domid = 1;
    int refused = REFUSED(0, ioctl(0, IOCTL_PRIVCMD_HYPERCALL, &hypercall)) |
                  REFUSED(1, ioctl(0, IOCTL_PRIVCMD_RESTRICT, &domid));

    /* What is allowed gets as far as the descriptor. */
    return refused | (ioctl(-1, IOCTL_PRIVCMD_DM_OP, NULL) == -1 && errno == EBADF ? 0 : 4);
}

/* With a descriptor that it was given to map what one domain has granted. */
static int ask_gntdev(void)
{
    struct ioctl_gntdev_map_grant_ref map = {.count = 1};
    struct ioctl_gntdev_grant_copy copy = {0};

    return REFUSED(0, ioctl(0, IOCTL_GNTDEV_MAP_GRANT_REF, &map)) |
           REFUSED(1, ioctl(0, IOCTL_GNTDEV_GRANT_COPY, &copy)) |
           REFUSED(2, ioctl(0, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, NULL)) |
           REFUSED(3, ioctl(0, IOCTL_GNTDEV_UNMAP_GRANT_REF, NULL)) |
           REFUSED(4, ioctl(0, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, NULL));
}

static void asks_gntdev_for_no_grant(void **state)
{
    struct seen seen = try(ask_gntdev);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " ioctl ioctl ioctl ioctl ioctl");
}

static void makes_no_hypercall_but_by_the_guest_s_own_door(void **state)
{
    struct seen seen = try(call_hypervisor);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " ioctl ioctl");
}

static int change_the_host(void)
{
    return REFUSED(0, mount("none", "/mnt", "tmpfs", 0, NULL)) |
           REFUSED(1, unshare(CLONE_NEWUSER)) | REFUSED(2, chroot("/")) | REFUSED(3, setuid(0)) |
           REFUSED(4, sethostname("x", 1)) | REFUSED(5, syscall(SYS_bpf, 0, NULL, 0)) |
           REFUSED(6, syscall(SYS_io_uring_setup, 1, NULL));
}

static void changes_nothing_of_the_host(void **state)
{
    assert_int_equal(try(change_the_host).status, 0);
}

static int make_code(void)
{
    int refused =
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
                errno == EPERM
            ? 0
            : 1;
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return refused | (data == MAP_FAILED ? 2 : 0) |
           REFUSED(2, mprotect(data, 4096, PROT_READ | PROT_EXEC));
}

static void makes_no_memory_executable(void **state)
{
    struct seen seen = try(make_code);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " mmap mprotect");
}

/* ---- threads ----------------------------------------------------------------------------------*/

static sem_t go, gone;
static int thread_refused;

static void *try_later(void *arg)
{
    sem_wait(&go);
    thread_refused = REFUSED(0, open("/etc/passwd", O_RDONLY));
    sem_post(&gone);
    return NULL;
}

static int make_thread(void)
{
    pthread_t thread;

    sem_init(&go, 0, 0);
    sem_init(&gone, 0, 0);
    thread_refused = -1;
    return pthread_create(&thread, NULL, try_later, NULL);
}

static int let_thread_go(void)
{
    sem_post(&go);
    sem_wait(&gone);
    return thread_refused;
}

static void a_thread_that_was_there_before_is_confined_too(void **state)
{
    struct seen seen = run(&as_it_is, make_thread, let_thread_go);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " openat");
}

static int make_thread_inside(void)
{
    return make_thread() ? 64 : let_thread_go();
}

static void a_thread_may_be_made_and_is_confined(void **state)
{
    struct seen seen = try(make_thread_inside);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " openat");
}

/* ---- who it is --------------------------------------------------------------------------------*/

/* With everything but the filter. */
static int who(const struct sandbox_params *params)
{
    const char *why;
    uid_t ruid, euid, suid;
    gid_t groups[4];
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid) {
        if (sandbox_confine(params, &why))
            _exit(91);
        getresuid(&ruid, &euid, &suid);
        _exit((ruid != NOBODY || euid != NOBODY || suid != NOBODY) |
              (getgid() != NOBODY || getgroups(4, groups) != 0) << 1 |
              (access("/etc", F_OK) == 0) << 2 | (open("/", O_RDONLY | O_DIRECTORY) < 0) << 3 |
              (setuid(0) == 0) << 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void it_is_nobody_in_an_empty_place(void **state)
{
    char dir[] = "/tmp/sandbox.XXXXXX";
    struct sandbox_params params = {.root = dir, .uid = NOBODY, .gid = NOBODY};

    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0555), 0);
    assert_int_equal(who(&params), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* As in the unit: another user than root, who has capabilities that stay when the user changes. */
static int become_able(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct able[_LINUX_CAPABILITY_U32S_3];

    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(1, 1, 1) ||
        syscall(SYS_capget, &header, able))
        return -1;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        able[i].effective = able[i].inheritable = able[i].permitted;
    if (syscall(SYS_capset, &header, able) || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0))
        return -1;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0);
}

static int left(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
    int found = 0;

    if (syscall(SYS_capget, &header, has))
        return 64;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        found |= has[i].effective || has[i].permitted;
    return found | (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SETUID, 0, 0) != 0) << 1 |
           (syscall(SYS_setuid, 0) == 0) << 2 | (syscall(SYS_getuid) != NOBODY) << 3;
}

static void *left_in_a_thread(void *arg)
{
    sem_wait(arg);
    return (void *)(intptr_t)left();
}

static int what_is_left(void)
{
    const struct sandbox_params params = {.uid = NOBODY, .gid = NOBODY};
    const char *why;
    pthread_t thread;
    void *in_thread;
    sem_t confined;

    sem_init(&confined, 0, 0);
    if (become_able() || pthread_create(&thread, NULL, left_in_a_thread, &confined))
        return 90;
    if (sandbox_confine(&params, &why))
        return 91;
    sem_post(&confined);
    pthread_join(thread, &in_thread);
    return left() | (int)(intptr_t)in_thread;
}

static void no_thread_of_who_was_able_without_being_root_is_any_more(void **state)
{
    pid_t pid;
    int status;

    if (geteuid() != 0)
        skip();
    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(what_is_left());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_place_that_is_not_there_is_told_of(void **state)
{
    struct sandbox_params params = {.root = "/nonexistent"};
    const char *why = "";

    if (geteuid() != 0)
        skip();
    assert_int_equal(sandbox_confine(&params, &why), -ENOENT);
    assert_string_equal(why, "its root directory");
}

/* ---- what it needs ----------------------------------------------------------------------------*/

static int data_fd, event_fd, epoll_fd, memory_fd, socks[2];
static io_context_t aio;

static int prepare(void)
{
    char path[] = "/tmp/sandbox.XXXXXX";

    data_fd = mkstemp(path);
    unlink(path);
    event_fd = eventfd(0, EFD_NONBLOCK);
    memory_fd = memfd_create("guest", MFD_ALLOW_SEALING);
    return data_fd < 0 || event_fd < 0 || memory_fd < 0 || ftruncate(memory_fd, 4096) ||
           socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks) || io_setup(8, &aio);
}

static int disk(void)
{
    static char data[512] = "data", back[512];
    struct iocb iocb, *batch = &iocb;
    struct io_event event;

    io_prep_pwrite(&iocb, data_fd, data, sizeof(data), 4096);
    io_set_eventfd(&iocb, event_fd);
    if (io_submit(aio, 1, &batch) != 1 || io_getevents(aio, 1, 1, &event, NULL) != 1 ||
        event.res != sizeof(data))
        return 1;
    return pread(data_fd, back, sizeof(back), 4096) != sizeof(back) || strcmp(back, "data") != 0 ||
           fdatasync(data_fd) || fallocate(data_fd, FALLOC_FL_KEEP_SIZE, 0, 4096);
}

static int waiting(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec soon = {.it_value.tv_nsec = 1000};
    struct timespec now;
    uint64_t one = 1;
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return timer_fd < 0 || timerfd_settime(timer_fd, 0, &soon, NULL) || epoll_fd < 0 ||
           epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) ||
           write(event_fd, &one, sizeof(one)) != sizeof(one) ||
           epoll_wait(epoll_fd, &event, 1, 1000) != 1 || clock_gettime(CLOCK_MONOTONIC, &now);
}

static int memory(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    struct stat st;
    void *much = malloc(1 << 20);

    if (page == MAP_FAILED || !much || fstat(memory_fd, &st) || fcntl(memory_fd, F_GET_SEALS) < 0)
        return 1;
    page[0] = 1;
    free(much);
    return munmap(page, 4096);
}

static int packets(void)
{
    char byte = 'x';

    return send(socks[1], &byte, 1, MSG_DONTWAIT) != 1 ||
           recv(socks[0], &byte, 1, MSG_DONTWAIT) != 1;
}

static int work(void)
{
    return disk() | waiting() << 1 | memory() << 2 | packets() << 3;
}

static int send_descriptors(void)
{
    const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0somebody"};
    struct mmsghdr several = {0};
    char byte = 'x';

    return REFUSED(0, pass_on(socks[0], event_fd)) |
           REFUSED(1, sendmmsg(socks[0], &several, 1, 0)) | REFUSED(2, close(link_sock)) |
           REFUSED(3, sendto(socks[0], &byte, 1, 0, (const struct sockaddr *)&name, sizeof(name)));
}

static void sends_descriptors_to_nobody_but_the_control_side(void **state)
{
    struct seen seen = run(&as_it_is, prepare, send_descriptors);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " sendmsg sendmmsg close sendto");
}

/* The kernel looks at 32 bits of a descriptor. */
static int give_the_link_s_number_away(void)
{
    const uint64_t link = (uint64_t)link_sock;

    return REFUSED(0, syscall(SYS_close, link | UINT64_C(1) << 32)) |
           REFUSED(1, syscall(SYS_close, link | UINT64_C(1) << 63)) |
           REFUSED(2, syscall(SYS_close, link | UINT64_MAX << 32)) |
           REFUSED(3, dup2(socks[0], link_sock)) | REFUSED(4, dup3(socks[0], link_sock, 0));
}

static void has_nothing_else_at_the_place_of_the_control_side_s_socket(void **state)
{
    struct seen seen = run(&as_it_is, prepare, give_the_link_s_number_away);

    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.calls, " close close close dup2 dup3");
}

/* Each number that differs in one bit, and what is none. */
static int close_others(void)
{
    int unlike = 0;

    for (unsigned i = 0; i < 32; i++)
        unlike |= close((int)((unsigned)link_sock ^ 1u << i)) && errno != EBADF;
    return unlike || close(-1) != -1 || errno != EBADF;
}

static void closes_all_but_the_control_side_s_socket(void **state)
{
    struct seen seen = run(&as_it_is, prepare, close_others);

    assert_string_equal(seen.calls, "");
    assert_int_equal(seen.status, 0);
}

static void all_that_serving_guests_takes_goes_through(void **state)
{
    struct seen seen = run(&as_it_is, prepare, work);

    assert_string_equal(seen.calls, "");
    assert_int_equal(seen.status, 0);
}

static int broker_sock, broker_window_fd;

static int use_grants(void)
{
    char bytes[2] = "ab";
    struct grant_copy copies[2] = {{.local = bytes, .ref = 1, .len = 1, .to_guest = true},
                                   {.local = bytes + 1, .ref = 2, .len = 1}};
    struct grant_map map = {.refs = (uint32_t[]){2, 3}, .count = 2, .writable = true};
    const struct grants *grants;

    if (grant_remote_open(broker_sock, broker_window_fd, &grants))
        return 1;
    grants_copy(grants, copies, 2);
    if (copies[0].status || copies[1].status || bytes[1] != 'g' || grants_map(grants, &map))
        return 2;
    map.base[GRANT_PAGE] = 'm';
    grant_remote_close(grants);
    grants_unmap(grants, &map);
    return 0;
}

static void what_a_guest_has_granted_is_reached_by_way_of_the_control_side(void **state)
{
    struct broker_rig rig;
    struct seen seen;

    broker_rig_start(&rig);
    rig.memory[0][2 * GRANT_PAGE] = 'g';
    assert_int_equal(
        grant_broker_add(rig.broker, BROKER_RIG_DOMID, &broker_sock, &broker_window_fd), 0);
    seen = run(&as_it_is, NULL, use_grants);
    assert_string_equal(seen.calls, "");
    assert_int_equal(seen.status, 0);
    assert_int_equal(rig.memory[0][GRANT_PAGE], 'a');
    assert_int_equal(rig.memory[0][3 * GRANT_PAGE], 'm');
    close(broker_sock);
    close(broker_window_fd);
    broker_rig_stop(&rig);
}

static int fail_an_assertion(void)
{
    abort();
}

static void it_can_end_itself_by_abort(void **state)
{
    struct seen seen = try(fail_an_assertion);

    assert_int_equal(seen.status, -1);
    assert_string_equal(seen.calls, "");
}

/* ---- nobody listens ---------------------------------------------------------------------------*/

static void without_a_listener_it_is_refused_as_well(void **state)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid) {
        const char *why;
        int listener;

        if (sandbox_confine(&as_it_is, &why) || sandbox_filter(0, &listener, &why) ||
            close(listener))
            _exit(90);
        _exit(open("/etc/passwd", O_RDONLY) == -1 && errno == ENOSYS ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_no_file),
        cmocka_unit_test(runs_no_program_and_makes_no_process),
        cmocka_unit_test(makes_no_connection),
        cmocka_unit_test(reaches_no_other_process),
        cmocka_unit_test(makes_no_hypercall_but_by_the_guest_s_own_door),
        cmocka_unit_test(asks_gntdev_for_no_grant),
        cmocka_unit_test(changes_nothing_of_the_host),
        cmocka_unit_test(makes_no_memory_executable),
        cmocka_unit_test(a_thread_that_was_there_before_is_confined_too),
        cmocka_unit_test(a_thread_may_be_made_and_is_confined),
        cmocka_unit_test(it_is_nobody_in_an_empty_place),
        cmocka_unit_test(no_thread_of_who_was_able_without_being_root_is_any_more),
        cmocka_unit_test(a_place_that_is_not_there_is_told_of),
        cmocka_unit_test(sends_descriptors_to_nobody_but_the_control_side),
        cmocka_unit_test(has_nothing_else_at_the_place_of_the_control_side_s_socket),
        cmocka_unit_test(closes_all_but_the_control_side_s_socket),
        cmocka_unit_test(all_that_serving_guests_takes_goes_through),
        cmocka_unit_test(what_a_guest_has_granted_is_reached_by_way_of_the_control_side),
        cmocka_unit_test(it_can_end_itself_by_abort),
        cmocka_unit_test(without_a_listener_it_is_refused_as_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
