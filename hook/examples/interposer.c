/* A read interposer that hookprobe measures: it counts the lines that a server reads from its connections, and prints
 * the count at the end. Worked example for hook/include/hookprobe.h.
 *
 *     cc -O2 -shared -fPIC -I hook/include hook/examples/interposer.c -o interposer.so -ldl
 *     sudo probe-user bench --hook ./interposer.so
 *     sudo probe-user validate truth --hook ./interposer.so
 *
 * Its C library functions are looked up when it is loaded; what may call read before that goes by dlsym. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#define HOOKPROBE_IMPLEMENTATION
#include "hookprobe.h"

enum { DESCRIPTORS = 65536 };

/* The connection behind each descriptor; 0 where there is none. Higher descriptors are not looked at. */
static _Atomic uint64_t connections[DESCRIPTORS];
static atomic_ullong lines;

static ssize_t (*next_read)(int, void *, size_t);
static int (*next_close)(int);
static int (*next_accept)(int, struct sockaddr *, socklen_t *);
static int (*next_accept4)(int, struct sockaddr *, socklen_t *, int);

__attribute__((constructor)) static void load(void) {
    /* POSIX has dlsym return functions so; ISO C knows no such conversion. */
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    *(void **)&next_close = dlsym(RTLD_NEXT, "close");
    *(void **)&next_accept = dlsym(RTLD_NEXT, "accept");
    *(void **)&next_accept4 = dlsym(RTLD_NEXT, "accept4");
}

__attribute__((destructor)) static void unload(void) {
    char text[64];
    int length = snprintf(text, sizeof text, "interposer: %llu lines\n", atomic_load(&lines));
    if (write(2, text, (size_t)length) < 0)
        return;
}

static uint64_t connection_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? atomic_load_explicit(&connections[fd], memory_order_relaxed) : 0;
}

static int is_internet_socket(int fd) {
    int domain = 0;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && (domain == AF_INET || domain == AF_INET6);
}

static int accepted(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) {
        uint64_t connection = is_internet_socket(fd) ? hookprobe_connection() : 0;
        atomic_store(&connections[fd], connection);
        if (connection)
            hookprobe_accepted(fd, connection);
    }
    return fd;
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
    if (!next_accept)
        load();
    return accepted(next_accept(fd, address, length));
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    if (!next_accept4)
        load();
    return accepted(next_accept4(fd, address, length, flags));
}

int close(int fd) {
    if (!next_close)
        load();
    if (connection_of(fd)) {
        /* The mark goes first: once the descriptor is closed, another thread may be given its number. */
        uint64_t connection = atomic_exchange(&connections[fd], 0);
        if (connection)
            hookprobe_closed(fd, connection);
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
    unsigned long long found = 0;
    for (ssize_t i = 0; i < returned; i++)
        found += ((const char *)buffer)[i] == '\n';
    if (found)
        atomic_fetch_add_explicit(&lines, found, memory_order_relaxed);
    hookprobe_read_done(&call, fd, connection, returned, HOOKPROBE_NO_MATCH, HOOKPROBE_READ);
    return returned;
}
