/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration: JSON in, plain structs out. Every error names file, line, column and JSON path and
 * says what would be right; an unknown key is refused with the nearest known one.
 *
 * A config struct owns its strings; free it with its _finish(). All strings are non-NULL ("" if
 * unset) unless said otherwise.
 */
#ifndef IOEMUD_CONFIG_CONFIG_H
#define IOEMUD_CONFIG_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DISKS       4
#define CONFIG_SERIALS     2
#define CONFIG_NICS        8
#define CONFIG_FORWARDS    16
#define CONFIG_NAME_MAX    63
#define CONFIG_ERROR_SIZE  512
#define CONFIG_WORKERS_MAX 64

/* "file:line:column: at /disks/0/vdev: ..." ready to print. */
struct config_error {
    char text[CONFIG_ERROR_SIZE];
};

/* Where to listen for HTTP, on the loopback interface: an address of 127.0.0.0/8, or ::1. */
struct http_config {
    bool ipv6;
    uint32_t ipv4; /* host order */
    unsigned port; /* 0: nowhere */
};

/* What serves guests: threads of the daemon, or processes; several guests each. */
enum isolation { ISOLATION_THREAD, ISOLATION_PROCESS };

/* /etc/ioemud/ioemud.json */
struct daemon_config {
    unsigned workers;        /* 0: one per online CPU */
    int isolation;           /* enum isolation */
    unsigned worker_guests;  /* that a worker process may have; 0: any number */
    unsigned worker_timeout; /* seconds without a sign of life that end one; 0: none do */
    char *worker_user;       /* whom worker processes become; default ioemud-worker */
    unsigned pool_pages;     /* per worker, of 4 KiB */
    unsigned aio_depth;      /* requests in flight in the kernel, per worker */
    unsigned poll_us;        /* longest adaptive polling after service; 0 off */
    char *control_socket;    /* default /run/ioemud/control.sock */
    char *stats_socket;      /* default /run/ioemud/stats.sock */
    char *stats_group;       /* who may read statistics; "": root only */
    char *guests_dir;        /* default /etc/ioemud/guests.d */
    char *run_dir;           /* default /run/ioemud: guests/ holds the records */
    char *shm_socket;        /* "": hv_shm peers are not accepted */
    /* Where ioemud-usernet listens; default /run/ioemud-usernet.sock */
    char *user_network_socket;
    bool xen;              /* serve Xen domains (default: if /dev/xen/privcmd is there) */
    bool xen_set;          /* `xen` was given */
    bool pv_disks;         /* serve the qdisk backends of the guests that we have */
    bool pv_backing_files; /* of them, images that have others opened by name */
    unsigned
        swap_pages; /* per worker: frames to exchange with guests' (ioreq/swap_xen.h); 0: none */
    unsigned swap_from; /* bytes of a read from which on they are */
    int log_level;      /* syslog(3) priority */
    struct metrics_config {
        struct http_config http;
    } metrics;
};

enum disk_type { DISK_HARD, DISK_CDROM };
enum disk_cache { DISK_WRITEBACK, DISK_WRITETHROUGH };
/* QEMU's names; `enospc`: stop when there is no room, report all else. */
enum disk_werror { DISK_WERROR_ENOSPC, DISK_WERROR_REPORT, DISK_WERROR_STOP };
enum disk_rerror { DISK_RERROR_REPORT, DISK_RERROR_STOP };

/* Errors on purpose, for tests: struct fault_options of devices/backend/images.h in words. */
enum disk_fault_op {
    DISK_FAULT_ANY,
    DISK_FAULT_READ,
    DISK_FAULT_WRITE,
    DISK_FAULT_FLUSH,
    DISK_FAULT_DISCARD,
};
enum disk_fault_error {
    DISK_FAULT_EIO,
    DISK_FAULT_ENOSPC,
    DISK_FAULT_ENODEV,
    DISK_FAULT_ENXIO,
    DISK_FAULT_ENODATA,
};
struct disk_fault {
    enum disk_fault_op op;
    uint64_t first_sector, last_sector;
    unsigned every, count; /* 0: none; 0: no end */
    enum disk_fault_error error;
    unsigned delay_ms;
    uint32_t given; /* 0: no faults */
};

enum disk_backend { DISK_RAW, DISK_MEM };
enum disk_discard { DISK_DISCARD_UNMAP, DISK_DISCARD_IGNORE };

struct disk_config {
    char vdev[8]; /* "hda".."hdd" (xvda..d are taken for these): position on the controller */
    enum disk_type type;       /* a CD-ROM drive's medium is read-only, whatever `read_only` says */
    char *path;                /* absolute; "": an empty CD-ROM drive */
    enum disk_backend backend; /* "format": "raw"; "mem" (tests: zeroed, "size" bytes) */
    uint64_t size;             /* mem only, bytes */
    enum disk_cache cache;
    bool direct; /* default true */
    bool read_only;
    bool shared;
    enum disk_discard discard; /* whether what the guest trims is given back */
    char serial[21], model[41], firmware[9];
    char wwn[19]; /* "0x5" and 15 hexadecimal digits, or "" */
    enum disk_werror werror;
    enum disk_rerror rerror;
    struct disk_fault fault;
    /* which keys the file gave, for the merge with xl's line (bit i = position in the key table) */
    uint32_t given;
};

enum serial_kind { SERIAL_NONE, SERIAL_PTY, SERIAL_FILE, SERIAL_UNIX };

struct serial_config {
    enum serial_kind kind;
    char *path;        /* file and unix */
    uint64_t max_size; /* file: bytes, default 16 MiB */
};

enum nic_model { NIC_E1000, NIC_RTL8139, NIC_NE2K };
enum nic_backend { NIC_TAP, NIC_MACVTAP, NIC_USER, NIC_SOCKET, NIC_NULL };
enum nic_mode { NIC_DGRAM, NIC_LISTEN, NIC_CONNECT, NIC_VDE };

/* A port of the host's that the user network forwards. */
struct forward_config {
    enum { FORWARD_TCP, FORWARD_UDP } protocol;
    uint32_t address; /* IPv4, host order; default 127.0.0.1, 0: all */
    unsigned port, guest_port;
};

struct nic_config {
    unsigned devid; /* libxl's; default: its position in the file */
    enum nic_model model;
    uint8_t mac[6];
    bool mac_set; /* else it is made from the guest's name and devid: nic_config_mac() */
    enum nic_backend backend;
    char ifname[16]; /* tap: created by this name ("": the kernel chooses); macvtap: is there */
    char bridge[16]; /* tap: the daemon attaches it; "": somebody else does */
    enum nic_mode mode;
    char *path, *peer; /* socket: its own (dgram, listen) or the other end's; dgram's peer */
    unsigned n_forwards;
    struct forward_config forward[CONFIG_FORWARDS];
    bool restricted;
    char *tftp, *bootfile;
    uint64_t rate, rate_in; /* bytes a second that the guest sends, receives; 0: no limit */
    bool link;              /* plugged in at the start; default true */
    uint8_t slot;           /* PCI; 0: by devid */
    char *rom;              /* "auto", "none" or a path */
    uint32_t given;
};

/* GUEST_PV: a PV or PVH domain, which has no emulated devices. */
enum guest_role { GUEST_PRIMARY, GUEST_SECONDARY, GUEST_PV };
enum guest_unplug { GUEST_UNPLUG_AUTO, GUEST_UNPLUG_NEVER };
enum guest_hypervisor { GUEST_XEN, GUEST_SHM };

struct guest_config {
    char name[CONFIG_NAME_MAX + 1];
    enum guest_hypervisor hypervisor;
    enum guest_role role;
    uint8_t slot; /* secondary: PCI slot of its controller; 0: MACHINE_SECONDARY_SLOT */
    enum guest_unplug unplug;
    bool platform;     /* the Xen platform device; default true */
    bool buffered_pio; /* where the hypervisor has it; default true */
    char boot_order[4];
    unsigned n_disks;
    struct disk_config disk[CONFIG_DISKS];
    unsigned n_serials;
    struct serial_config serial[CONFIG_SERIALS];
    unsigned n_nics;
    struct nic_config nic[CONFIG_NICS];
    uint32_t map_limit_mib;
    uint32_t budget; /* ioreqs served per turn of the loop; default 64 */
    uint32_t given;  /* which top-level keys the file gave */
};

#define DAEMON_CONFIG_FILE "/etc/ioemud/ioemud.json"

/* All: 0, or -EINVAL (content), -ENOENT, -EACCES, ... with ret_error filled. On an error nothing is
 * left in *ret. */
int daemon_config_load(const char *path, struct daemon_config *ret_config,
                       struct config_error *ret_error);
/* The same from memory; `where` stands for the file in messages. */
int daemon_config_parse(const char *text, size_t length, const char *where,
                        struct daemon_config *ret_config, struct config_error *ret_error);
/* The defaults, as with an empty object. */
int daemon_config_defaults(struct daemon_config *ret_config);
void daemon_config_finish(struct daemon_config *config);
const char *guest_role_name(enum guest_role role);
/* As JSON again, every key but those that are not set; NULL on ENOMEM. */
json_t *daemon_config_to_json(const struct daemon_config *config);
/* For clients: the path of the control socket, or of the statistics socket, as the daemon's own
 * configuration has it; the default where that does not exist or is not ours to read. NULL on
 * ENOMEM; the caller frees it. */
char *daemon_config_socket(bool statistics);

/* `path` is DIR/NAME.json; "name" in the file, when given, must be NAME. A disk may lack its
 * "path": the file may be meant to be merged over xl's line. Who uses it alone asks
 * guest_config_check(). */
int guest_config_load(const char *path, struct guest_config *ret_config,
                      struct config_error *ret_error);
/* The same from memory; `where` is DIR/NAME.json. */
int guest_config_parse(const char *text, size_t length, const char *where,
                       struct guest_config *ret_config, struct config_error *ret_error);
/* Whether nothing is missing (all that is there has been checked by who read it). */
int guest_config_check(const struct guest_config *config, const char *where,
                       struct config_error *ret_error);
/* 1 to CONFIG_NAME_MAX of A-Z a-z 0-9 . _ + @ : - with a letter or digit first: harmless in a
 * file's name and in a line of the log. */
bool guest_config_name_is_good(const char *name);
/* From an object that came over the control socket; `where` stands for the file in messages. It
 * must have a "name" and be complete: guest_config_check() has nothing to say any more. */
int guest_config_from_json(const json_t *object, const char *where, struct guest_config *ret_config,
                           struct config_error *ret_error);
/* Merges `file` over `line` (what xl asked for), key by key; disks are matched by vdev, NICs
 * by devid. Both stay the caller's; the result is a checked copy. -EINVAL when it cannot be: too
 * many disks, something missing, a "role" or "hypervisor" that contradicts one that the line gave.
 */
int guest_config_merge(const struct guest_config *line, const struct guest_config *file,
                       struct guest_config *ret_config, struct config_error *ret_error);
/* "e1000"; "tap". */
const char *nic_config_model(const struct nic_config *nic);
const char *nic_config_backend(const struct nic_config *nic);
/* The one given, or one in Xen's range that is the same at each start of this guest. */
void nic_config_mac(const struct nic_config *nic, const char *guest, uint8_t ret_mac[6]);
void nic_config_mac_text(const uint8_t mac[6], char ret_text[18]);
/* One NIC alone, to be added to a guest that runs; complete. Free it with nic_config_finish(). */
int nic_config_from_json(const json_t *object, struct nic_config *ret_nic,
                         struct config_error *ret_error);
/* What its user network is described with, alone, as JSON text: what ioemud-usernet is told. The
 * caller frees it; NULL on ENOMEM. */
char *nic_config_user_text(const struct nic_config *nic);
/* That, read by who does not trust it; all else is as by default. `where` stands for the file in
 * messages. */
int nic_config_user_parse(const char *text, size_t length, const char *where,
                          struct nic_config *ret_nic, struct config_error *ret_error);
void nic_config_finish(struct nic_config *nic);

/* The description as JSON again (for `ioemuctl list`, tests); NULL on ENOMEM. */
json_t *guest_config_to_json(const struct guest_config *config);
void guest_config_finish(struct guest_config *config);

#endif
