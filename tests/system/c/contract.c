#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener;
static struct sockaddr_in address = {.sin_family = AF_INET};

static int client(void) {
    int c = socket(AF_INET, SOCK_STREAM, 0);
    assert(connect(c, (void *)&address, sizeof address) == 0);
    return c;
}

static atomic_int reader;

static void *read_for_ever(void *cleaned) {
    char buffer[16];
    int s = accept(listener, NULL, NULL);
    pthread_cleanup_push((void (*)(void *))close, (void *)(long)s);
    reader = gettid();
    read(s, buffer, sizeof buffer);
    pthread_cleanup_pop(1);
    return cleaned;
}

/* The state of a thread: 'S' when it waits. */
static char state(int thread) {
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        fclose(file);
    }
    return state;
}

int main(void) {
    char buffer[64];
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 9) == 0);
    assert(getsockname(listener, (void *)&address, &length) == 0);

    /* Without an address, with one, and with one too short for even the family. */
    int c = client();
    int s = accept(listener, NULL, NULL);
    assert(s >= 0 && write(c, "admin", 5) == 5);
    memset(buffer, '#', sizeof buffer);
    assert(read(s, buffer, sizeof buffer) == 5 && memcmp(buffer, "admin#", 6) == 0);
    int c2 = client();
    struct sockaddr_in peer;
    socklen_t one = 1;
    memset(&peer, '#', sizeof peer);
    int s2 = accept4(listener, (void *)&peer, &one, SOCK_NONBLOCK);
    assert(s2 >= 0 && one == sizeof peer && ((char *)&peer)[1] == '#');
    struct sockaddr_in mine;
    length = sizeof mine;
    int c3 = client();
    getsockname(c3, (void *)&mine, &length);
    length = sizeof peer;
    int s3 = accept(listener, (void *)&peer, &length);
    assert(peer.sin_port == mine.sin_port && length == sizeof peer);

    /* errno: set by failures as the kernel sets it, left alone by successes. */
    errno = 0;
    assert(read(s2, buffer, sizeof buffer) == -1 && errno == EAGAIN);
    assert(read(-1, buffer, 1) == -1 && errno == EBADF);
    assert(write(c, "xadmin", 6) == 6);
    errno = 77;
    assert(read(s, buffer, 3) == 3 && read(s, buffer, 0) == 0 && errno == 77);
    assert(read(s, buffer, sizeof buffer) == 3 && errno == 77);
    assert(write(c, "x", 1) == 1);
    assert(read(s, (void *)1, 8) == -1 && errno == EFAULT);
    assert(read(s, buffer, 8) == 1);
    errno = 77;
    assert(close(s3) == 0 && errno == 77);
    assert(close(s3) == -1 && errno == EBADF);
    shutdown(c, SHUT_WR);
    assert(read(s, buffer, 8) == 0);

    /* A number used again for something that is no connection. */
    close(s);
    int p[2];
    assert(pipe(p) == 0 && write(p[1], "admin", 5) == 5);
    assert(read(p[0], buffer, 8) == 5);

    /* A child goes on reading what its parent accepted. */
    assert(write(c2, "child", 5) == 5);
    pid_t child = fork();
    if (child == 0) {
        /* Even on the loopback device, what was written takes its time to arrive where CPUs are busy. */
        poll(&(struct pollfd){.fd = s2, .events = POLLIN}, 1, 10000);
        _exit(read(s2, buffer, 8) == 5 ? 0 : 1);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && status == 0);

    /* A thread cancelled in a hooked read is unwound and cleaned up. */
    pthread_t thread;
    int c4 = client();
    assert(pthread_create(&thread, NULL, read_for_ever, NULL) == 0);
    while (reader == 0 || state(reader) != 'S')
        sched_yield();
    pthread_cancel(thread);
    void *result;
    assert(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    assert(read(c4, buffer, 8) == 0);
    puts("the contract holds");
    return 0;
}
