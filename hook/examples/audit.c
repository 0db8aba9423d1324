/* An audit hook: it counts the bytes that a server reads from each connection and takes their digest, and when the
 * connection is closed it appends a line to the file that AUDIT_LOG names. docs/tutorial.md measures it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#define HOOKPROBE_IMPLEMENTATION
#include "hookprobe.h"

enum { DESCRIPTORS = 65536 };

/* What has been read from the connection behind each descriptor. Where `connection` is 0 there is none. */
static struct {
    _Atomic uint64_t connection, bytes, digest;
} audits[DESCRIPTORS];

static int log_file = -1;
static ssize_t (*next_read)(int, void *, size_t);
static int (*next_close)(int);
static int (*next_accept4)(int, struct sockaddr *, socklen_t *, int);

__attribute__((constructor)) static void load(void) {
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    *(void **)&next_close = dlsym(RTLD_NEXT, "close");
    *(void **)&next_accept4 = dlsym(RTLD_NEXT, "accept4");
    const char *path = getenv("AUDIT_LOG");
    if (path && log_file < 0)
        log_file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static uint64_t connection_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? atomic_load_explicit(&audits[fd].connection, memory_order_relaxed) : 0;
}

/* FNV-1a, byte by byte: simple, and slow enough to be seen. */
static uint64_t digest_of(uint64_t digest, const unsigned char *bytes, ssize_t count) {
    for (ssize_t i = 0; i < count; i++)
        digest = (digest ^ bytes[i]) * 0x100000001b3u;
    return digest;
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    if (!next_accept4)
        load();
    int accepted = next_accept4(fd, address, length, flags);
    int domain = 0;
    socklen_t domain_length = sizeof domain;
    if (accepted >= 0 && accepted < DESCRIPTORS &&
        getsockopt(accepted, SOL_SOCKET, SO_DOMAIN, &domain, &domain_length) == 0 &&
        (domain == AF_INET || domain == AF_INET6)) {
        atomic_store(&audits[accepted].bytes, 0);
        atomic_store(&audits[accepted].digest, 0xcbf29ce484222325u);
        atomic_store(&audits[accepted].connection, hookprobe_connection());
        hookprobe_accepted(accepted, audits[accepted].connection); /* site 1 */
    }
    return accepted;
}

int close(int fd) {
    if (!next_close)
        load();
    /* The mark goes first: once the descriptor is closed, another thread may be given its number. */
    uint64_t connection = connection_of(fd) ? atomic_exchange(&audits[fd].connection, 0) : 0;
    if (connection) {
        char line[80]; /* snprintf is not for signal handlers, so this hook is not for servers that close in them */
        int length = snprintf(line, sizeof line, "audit: %llu bytes, digest %016llx\n",
                              (unsigned long long)audits[fd].bytes, (unsigned long long)audits[fd].digest);
        if (log_file >= 0 && write(log_file, line, (size_t)length) < 0)
            log_file = -1; /* the disk is full, say; the server is not to notice */
        hookprobe_closed(fd, connection); /* site 2 */
    }
    return next_close(fd);
}

ssize_t read(int fd, void *buffer, size_t count) {
    if (!next_read)
        load();
    uint64_t connection = connection_of(fd);
    if (!connection)
        return next_read(fd, buffer, count);

    struct hookprobe_call call;
    hookprobe_enter(&call);
    ssize_t returned = next_read(fd, buffer, count);
    hookprobe_inner_exit(&call, returned);
    if (returned > 0) {
        uint64_t digest = atomic_load_explicit(&audits[fd].digest, memory_order_relaxed);
        atomic_store_explicit(&audits[fd].digest, digest_of(digest, buffer, returned), memory_order_relaxed);
        atomic_fetch_add_explicit(&audits[fd].bytes, (uint64_t)returned, memory_order_relaxed);
    }
    hookprobe_read_done(&call, fd, connection, returned, HOOKPROBE_NO_MATCH, HOOKPROBE_READ); /* site 3 */
    return returned;
}
