/* A hook whose cost is rare: in WAITS_PER_1000 of 1,000 calls of read it waits for WAIT_NS, drawn anew for each call, so that no
 * period can beat with blocks of requests. It waits busily, as a sleep would be rounded up by timers.
 *
 * What it really waited is counted in the file COUNTS.PID, which is mapped, so that it stays however the process ends. A wait counts
 * up to LONGEST_NS, as means are clipped. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct counts {
    _Atomic uint64_t calls, waited_ns;
};

static ssize_t (*next_read)(int, void *, size_t);
static struct counts *counts;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A number without a pattern from that of the call (SplitMix64: Steele, Lea and Flood, 2014). */
static uint64_t mixed(uint64_t call) {
    call = call * 0x9e3779b97f4a7c15;
    call = (call ^ call >> 30) * 0xbf58476d1ce4e5b9;
    call = (call ^ call >> 27) * 0x94d049bb133111eb;
    return call ^ call >> 31;
}

static void fail(const char *path) {
    perror(path);
    abort();
}

__attribute__((constructor)) static void load(void) {
    if (counts)
        return;
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    char path[4096];
    snprintf(path, sizeof path, COUNTS ".%d", getpid());
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
        fail(path);
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        fail(path);
    close(fd);
}

ssize_t read(int fd, void *buffer, size_t size) {
    load();
    ssize_t returned = next_read(fd, buffer, size);
    if (mixed(++counts->calls) % 1000 < WAITS_PER_1000) {
        uint64_t start_ns = now_ns(), waited_ns;
        do
            waited_ns = now_ns() - start_ns;
        while (waited_ns < WAIT_NS);
        counts->waited_ns += waited_ns < LONGEST_NS ? waited_ns : LONGEST_NS;
    }
    return returned;
}
