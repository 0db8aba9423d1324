#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct connection { int client, server; } connection(void) {
    static int listener = -1;
    static struct sockaddr_in address = {.sin_family = AF_INET};
    if (listener < 0) {
        socklen_t length = sizeof address;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listener = socket(AF_INET, SOCK_STREAM, 0);
        assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 9) == 0);
        assert(getsockname(listener, (void *)&address, &length) == 0);
    }
    struct connection c = {.client = socket(AF_INET, SOCK_STREAM, 0)};
    assert(connect(c.client, (void *)&address, sizeof address) == 0);
    c.server = accept(listener, NULL, NULL);
    assert(c.server >= 0);
    return c;
}

/* Sends a word to the descriptor `to` and reads it at `from`. */
static void pass(const char *word, int to, int from) {
    char buffer[64];
    ssize_t length = 0;
    while (word[length])
        length++;
    assert(write(to, word, length) == length && read(from, buffer, sizeof buffer) == length);
}
