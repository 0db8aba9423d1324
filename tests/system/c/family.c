/* family FUNCTION CALLS: says "ready" and waits for SIGUSR1. Then sends itself CALLS messages over an
 * accepted connection and takes each by FUNCTION (read, recv, recvfrom, recvmsg or readv), after it has
 * looked at it by recv with MSG_PEEK. recvmsg and readv take it into two buffers, whose border lies in
 * the middle of the word. Then says "done" and what the hook has counted, and stays. */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* The hook's own count of what it has found. */
extern struct { unsigned long count; char unused[56]; } readhook_matches[16] __attribute__((weak));

static const char message[] = "GET /q?=admin HTTP/1.1";
enum { LENGTH = sizeof message - 1, BORDER = 10 };

static ssize_t take(const char *function, int fd, char *buffer) {
    struct iovec pieces[] = {{buffer, BORDER}, {buffer + BORDER, LENGTH - BORDER}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    if (!strcmp(function, "read"))
        return read(fd, buffer, LENGTH);
    if (!strcmp(function, "recv"))
        return recv(fd, buffer, LENGTH, 0);
    if (!strcmp(function, "recvfrom"))
        return recvfrom(fd, buffer, LENGTH, 0, NULL, NULL);
    if (!strcmp(function, "recvmsg"))
        return recvmsg(fd, &header, 0);
    assert(!strcmp(function, "readv"));
    return readv(fd, pieces, 2);
}

int main(int argc, char **argv) {
    assert(argc == 3);
    sigset_t go;
    int signal;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, NULL);
    puts("ready");
    fflush(stdout);
    sigwait(&go, &signal);
    struct connection c = connection();
    for (int call = 0; call < atoi(argv[2]); call++) {
        char peeked[LENGTH] = "", taken[LENGTH] = "";
        assert(write(c.client, message, LENGTH) == LENGTH);
        assert(recv(c.server, peeked, LENGTH, MSG_PEEK) == LENGTH);
        assert(take(argv[1], c.server, taken) == LENGTH);
        assert(!memcmp(peeked, message, LENGTH) && !memcmp(taken, message, LENGTH));
    }
    /* What is asked of the kernel comes back from it: no such buffer, thrown away, nothing there, the end. */
    char byte;
    assert(write(c.client, "admin", 5) == 5);
    assert(recv(c.server, NULL, 2, MSG_TRUNC) == 2);
    assert(recv(c.server, (void *)1, 1, 0) == -1 && errno == EFAULT);
    assert(recvfrom(c.server, &byte, 1, 0, NULL, NULL) == 1 && byte == 'm');
    assert(readv(c.server, NULL, 0) == 0 && readv(c.server, NULL, -1) == -1 && errno == EINVAL);
    assert(recvmsg(c.server, NULL, 0) == -1 && errno == EFAULT);
    assert(recv(c.server, &byte, 1, 0) == 1 && recv(c.server, &byte, 1, 0) == 1 && byte == 'n');
    assert(recv(c.server, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(c.client);
    assert(recv(c.server, &byte, 1, 0) == 0);
    unsigned long matches = 0;
    for (int i = 0; i < 16; i++)
        matches += readhook_matches[i].count;
    printf("done, %lu matches\n", matches);
    fflush(stdout);
    pause();
}
