/* nested SALT SALT REQUESTS: takes requests on one connection, by each function in turn and in two pieces, while a timer's
 * handler takes requests on another. Every other request is sent by the handler, so that the read which it interrupts is
 * blocked. Each first request carries a salt. Prints how many the handler has taken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { SIZE = 256, PIECE = 100 };
static char text[SIZE + 1];
static struct connection outer, inner;
static volatile int is_awaited;
static volatile unsigned long handled;

static void answer(struct connection c) {
    char byte;
    assert(write(c.server, "k", 1) == 1 && read(c.client, &byte, 1) == 1);
}

static void send_to(struct connection c) {
    assert(write(c.client, text, SIZE) == SIZE);
}

static void handle(int signal) {
    int before = errno;
    char taken[SIZE];
    (void)signal;
    send_to(inner);
    assert(read(inner.server, taken, SIZE) == SIZE && !memcmp(taken, text, SIZE));
    answer(inner);
    handled++;
    if (is_awaited) {
        is_awaited = 0;
        send_to(outer);
    }
    errno = before;
}

static ssize_t take(int function, int fd, char *buffer, size_t length) {
    struct iovec pieces[] = {{buffer, length / 2}, {buffer + length / 2, length - length / 2}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    switch (function) {
    case 0:
        return read(fd, buffer, length);
    case 1:
        return recv(fd, buffer, length, 0);
    case 2:
        return recvfrom(fd, buffer, length, 0, NULL, NULL);
    case 3:
        return recvmsg(fd, &header, 0);
    default:
        return readv(fd, pieces, 2);
    }
}

static void take_all(int function) {
    char taken[SIZE];
    assert(take(function, outer.server, taken, PIECE) == PIECE);
    assert(take(function, outer.server, taken + PIECE, SIZE - PIECE) == SIZE - PIECE);
    assert(!memcmp(taken, text, SIZE));
    answer(outer);
}

static void write_text(const char *salt) {
    int length = sprintf(text, "GET / HTTP/1.1\r\nX-Hookprobe-Salt: %s\r\nX-Pad: ", salt);
    memset(text + length, 'x', SIZE - length);
    memcpy(text + SIZE - 4, "\r\n\r\n", 4);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 500}, {0, 500}}, none = {0};
    char first[SIZE];
    assert(argc == 4);
    outer = connection();
    inner = connection();
    write_text(argv[1]);
    send_to(outer);
    take_all(0);
    write_text(argv[2]);
    send_to(inner);
    assert(read(inner.server, first, SIZE) == SIZE);
    answer(inner);
    write_text("0000000000000000");
    assert(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (int request = 0; request < atoi(argv[3]); request++) {
        if (request % 2)
            is_awaited = 1;
        else
            send_to(outer);
        take_all(request % 5);
    }
    assert(setitimer(ITIMER_REAL, &none, NULL) == 0);
    printf("%lu\n", handled);
    return 0;
}
