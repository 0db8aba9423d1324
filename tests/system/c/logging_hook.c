/* A hook of the functions that read from connections: it appends to the log of a trial a line for each of their calls, "H", the
 * client's port and what was returned. Servers append a line for each request, and so the log has the order of both. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* A server may clear its environment. */
static const char *path;
__attribute__((constructor)) static void load(void) { path = strdup(getenv("TRIAL_LOG")); }

static void note(int fd, ssize_t returned) {
    int before = errno;
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
        (peer.sin6_family == AF_INET || peer.sin6_family == AF_INET6)) {
        char line[64];
        /* The port is at the same place in addresses of both families. */
        int size = snprintf(line, sizeof line, "H %d %zd\n", ntohs(peer.sin6_port), returned);
        int file = open(path, O_WRONLY | O_APPEND);
        if (write(file, line, size) != size)
            abort();
        close(file);
    }
    errno = before;
}

#define HOOK(NAME, PARAMETERS, ARGUMENTS)                                                                               \
    ssize_t NAME PARAMETERS {                                                                                           \
        ssize_t(*next) PARAMETERS;                                                                                      \
        *(void **)&next = dlsym(RTLD_NEXT, #NAME);                                                                      \
        ssize_t returned = next ARGUMENTS;                                                                              \
        note(fd, returned);                                                                                             \
        return returned;                                                                                                \
    }

HOOK(read, (int fd, void *buffer, size_t count), (fd, buffer, count))
HOOK(recv, (int fd, void *buffer, size_t count, int flags), (fd, buffer, count, flags))
HOOK(recvfrom, (int fd, void *buffer, size_t count, int flags, struct sockaddr *address, socklen_t *length),
     (fd, buffer, count, flags, address, length))
HOOK(recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
HOOK(readv, (int fd, const struct iovec *buffers, int count), (fd, buffers, count))
