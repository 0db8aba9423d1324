/* forked N: a server whose N children, made by fork, accept and answer. Whoever reads a request answers it at once. */
#include <assert.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void serve(int listener) {
    char request[4096];
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
        while (read(fd, request, sizeof request) > 0)
            assert(write(fd, ANSWER, sizeof ANSWER - 1) == sizeof ANSWER - 1);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("SERVER_PORT")))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    assert(argc == 2);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 64) == 0);
    for (int child = 0; child < atoi(argv[1]); child++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(listener);
            return 0;
        }
    for (;;)
        pause();
}
