/* draining [first]: an edge-triggered server. It reads, a piece at a time, until nothing is left, and answers then; with an
 * argument it answers as soon as it can, and reads on. To the log of the trial it appends a line for each request, "R", the
 * client's port and the request's number on its connection, from 1. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024, PIECE = 100 };
static const char END[] = "\r\n\r\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static struct client { int port, requests, place; } clients[DESCRIPTORS];
static int poller, listener, trial_log;

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    assert(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void greet(void) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    for (int fd; (fd = accept4(listener, (void *)&peer, &length, SOCK_NONBLOCK)) >= 0; length = sizeof peer) {
        assert(fd < DESCRIPTORS);
        clients[fd] = (struct client){.port = ntohs(peer.sin_port)};
        watch(fd);
    }
}

static void answer(int fd) {
    char line[64];
    int size = snprintf(line, sizeof line, "R %d %d\n", clients[fd].port, ++clients[fd].requests);
    assert(write(trial_log, line, size) == size);
    assert(write(fd, ANSWER, sizeof ANSWER - 1) == sizeof ANSWER - 1);
}

static void serve(int fd, int answers_first) {
    char piece[PIECE];
    ssize_t length;
    int due = 0;
    while ((length = read(fd, piece, PIECE)) > 0) {
        for (int i = 0; i < length; i++) {
            int place = clients[fd].place;
            place = piece[i] == END[place] ? place + 1 : piece[i] == END[0];
            due += !END[place];
            clients[fd].place = END[place] ? place : 0;
        }
        for (; answers_first && due; due--)
            answer(fd);
    }
    for (; due; due--)
        answer(fd);
    if (length == 0 || errno != EAGAIN)
        close(fd);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("SERVER_PORT")))};
    struct epoll_event events[16];
    int yes = 1;
    (void)argv;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    trial_log = open(getenv("TRIAL_LOG"), O_WRONLY | O_APPEND);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    poller = epoll_create1(0);
    /* A server before it may have had the port. */
    assert(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    assert(trial_log >= 0 && bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 64) == 0);
    watch(listener);
    for (;;) {
        int count = epoll_wait(poller, events, 16, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                greet();
            else
                serve(events[i].data.fd, argc > 1);
        }
    }
}
