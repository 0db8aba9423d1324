/* Reads from accepted connections, one byte at a time, as fast as it can.
 *
 * reader THREADS SECONDS CALLS: says "ready", waits for SIGUSR1, then each thread reads through a
 * connection of its own until SECONDS are over or it has made CALLS calls, whichever comes first
 * (0: no such end). Prints what it did, and stays: nothing reads any more. It calls read(2) for
 * nothing else, and each time by one_byte(). Each thread answers some reads with one byte. */
#define _GNU_SOURCE
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 16384 };

struct work {
    pthread_t thread;
    unsigned long calls, reads, writes;
    double seconds;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Two ends of a TCP connection; the second one was accepted. */
static void connection(int ends[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert(bind(listener, (void *)&address, length) == 0 && listen(listener, 1) == 0);
    assert(getsockname(listener, (void *)&address, &length) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert(connect(ends[0], (void *)&address, length) == 0);
    ends[1] = accept(listener, NULL, NULL);
    assert(ends[1] >= 0);
    close(listener);
}

__attribute__((noinline)) ssize_t one_byte(int fd) {
    char byte;
    ssize_t count = read(fd, &byte, 1);
    return count;
}

static void *run(void *argument) {
    static char words[CHUNK];
    struct work *work = argument;
    double end = now() + work->seconds;
    int ends[2];
    char byte;
    connection(ends);
    while ((work->calls == 0 || work->reads < work->calls) &&
           (work->seconds == 0 || now() < end)) {
        unsigned long count = CHUNK;
        if (work->calls != 0 && work->calls - work->reads < count)
            count = work->calls - work->reads;
        assert(send(ends[0], words, count, 0) == (ssize_t)count);
        for (unsigned long i = 0; i < count; i++)
            assert(one_byte(ends[1]) == 1);
        work->reads += count;
        assert(write(ends[1], &byte, 1) == 1 && recv(ends[0], &byte, 1, 0) == 1);
        work->writes++;
    }
    close(ends[1]);
    close(ends[0]);
    return NULL;
}

int main(int count, char **arguments) {
    assert(count == 4);
    int threads = atoi(arguments[1]);
    struct work *work = calloc(threads, sizeof *work);
    sigset_t go;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    assert(sigprocmask(SIG_BLOCK, &go, NULL) == 0);
    puts("ready");
    fflush(stdout);
    int signal;
    assert(sigwait(&go, &signal) == 0);

    double start = now();
    unsigned long reads = 0, writes = 0;
    for (int i = 0; i < threads; i++) {
        work[i].seconds = atof(arguments[2]);
        work[i].calls = atol(arguments[3]);
        assert(pthread_create(&work[i].thread, NULL, run, &work[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        assert(pthread_join(work[i].thread, NULL) == 0);
        reads += work[i].reads;
        writes += work[i].writes;
    }
    printf("%lu %lu %f\n", reads, writes, now() - start);
    fflush(stdout);
    for (;;)
        pause();
}
