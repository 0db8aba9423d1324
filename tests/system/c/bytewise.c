/* bytewise PORT thread|process [LIFETIME_US]: an HTTP server that reads byte by byte. Each connection has a thread or a
 * process of its own; a process ends after so many microseconds, wherever it is. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void *serve(void *argument) {
    int fd = (int)(long)argument, one = 1;
    unsigned int last = 0;
    unsigned char byte;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (read(fd, &byte, 1) == 1) {
        last = last << 8 | byte;
        if (last == 0x0d0a0d0a && write(fd, answer, sizeof answer - 1) < 0)
            break;
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    assert(argc >= 3);
    int lifetime_us = argc > 3 ? atoi(argv[3]) : 0;
    address.sin_port = htons(atoi(argv[1]));
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 128) == 0);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        assert(fd >= 0);
        if (strcmp(argv[2], "thread") == 0) {
            pthread_t thread;
            assert(pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0);
            pthread_detach(thread);
        } else if (fork() == 0) {
            struct itimerval timer = {.it_value.tv_usec = lifetime_us};
            close(listener);
            setitimer(ITIMER_REAL, &timer, NULL);
            serve((void *)(long)fd);
            _exit(0);
        } else {
            close(fd);
        }
    }
}
