/* A blocking server that does one thing as few do. Its argument says which:
 *
 *   closing   closes each connection once it has answered
 *   late      has a worker that it forks some time after the first connection, which it answers nothing
 *   pieces    reads 64 bytes at a time
 *   children  forks a process for each connection, which has accepted nothing itself
 *   recycled  has a worker that accepts, and forks another in its place after two connections
 *   passed    accepts in one process, and passes the connection to another, which reads it
 *   recvmmsg  reads by recvmmsg(2)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char KEEPING[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char CLOSING[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

static ssize_t read_some(int fd, char *buffer, size_t room, const char *mode) {
    if (!strcmp(mode, "pieces"))
        return read(fd, buffer, room < 64 ? room : 64);
    if (strcmp(mode, "recvmmsg"))
        return read(fd, buffer, room);
    struct iovec piece = {buffer, room};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
    return recvmmsg(fd, &message, 1, 0, NULL) == 1 ? (ssize_t)message.msg_len : -1;
}

static void serve(int fd, const char *mode) {
    const char *answer = strcmp(mode, "closing") ? KEEPING : CLOSING;
    char buffer[8192];
    size_t length = 0;
    ssize_t got;
    while ((got = read_some(fd, buffer + length, sizeof buffer - length, mode)) > 0) {
        length += (size_t)got;
        if (length < 4 || memcmp(buffer + length - 4, "\r\n\r\n", 4))
            continue;
        length = 0;
        if (write(fd, answer, strlen(answer)) < 0 || answer == CLOSING)
            break;
    }
    close(fd);
}

static void pass(int over, int fd) {
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(over, &message, 0) < 0)
        exit(1);
    close(fd);
}

static int receive(int over) {
    int fd = -1;
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(over, &message, 0) <= 0)
        exit(0);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

int main(int count, char **words) {
    const char *mode = count > 1 ? words[1] : "";
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, ends[2];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    here.sin_port = htons((in_port_t)atoi(getenv("SERVER_PORT")));
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 128))
        return 1;
    if (!strcmp(mode, "passed")) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
            return 1;
        if (!fork()) {
            close(listener);
            close(ends[0]);
            for (;;)
                serve(receive(ends[1]), mode);
        }
    }
    int left = -1;
    if (!strcmp(mode, "late")) {
        close(accept(listener, NULL, NULL));
        usleep(150000);
        if (fork())
            for (;;)
                pause();
    }
    if (!strcmp(mode, "recycled")) {
        signal(SIGCHLD, SIG_DFL);
        while (fork())
            wait(NULL);
        left = 2;
    }
    for (; left; left--) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!strcmp(mode, "passed")) {
            pass(ends[0], fd);
        } else if (!strcmp(mode, "children")) {
            if (!fork()) {
                close(listener);
                serve(fd, mode);
                _exit(0);
            }
            close(fd);
        } else {
            serve(fd, mode);
        }
    }
}
