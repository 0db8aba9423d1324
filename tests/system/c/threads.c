/* threads PORT: an HTTP server with a thread for each connection, which waits in its read for the next request. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char END[] = "\r\n\r\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void *serve(void *argument) {
    int fd = (int)(long)argument, yes = 1, place = 0;
    char piece[4096];
    ssize_t length;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while ((length = read(fd, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < length; i++) {
            place = piece[i] == END[place] ? place + 1 : piece[i] == END[0];
            if (END[place])
                continue;
            place = 0;
            if (write(fd, ANSWER, sizeof ANSWER - 1) < 0)
                break;
        }
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    assert(argc == 2);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(argv[1]))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    signal(SIGPIPE, SIG_IGN);
    /* A server before it may have had the port. */
    assert(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 1024) == 0);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        assert(fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0);
        pthread_detach(thread);
    }
}
