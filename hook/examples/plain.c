/* A plain hook, as there are many: it counts the zero bytes in what read(2) returns, and says at the end how many there were. It
 * has no probe sites and knows nothing of hookprobe, which measures it as it is: docs/trial.md. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static ssize_t (*next_read)(int, void *, size_t);
static _Atomic unsigned long zeros;

__attribute__((constructor)) static void load(void) {
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
}

ssize_t read(int fd, void *buffer, size_t count) {
    if (!next_read)
        load();
    ssize_t returned = next_read(fd, buffer, count);
    const unsigned char *bytes = buffer;
    unsigned long found = 0;
    for (ssize_t i = 0; i < returned; i++)
        found += bytes[i] == 0;
    if (found)
        zeros += found;
    return returned;
}

__attribute__((destructor)) static void unload(void) {
    if (zeros)
        fprintf(stderr, "plain: %lu zero bytes were read\n", zeros);
}
