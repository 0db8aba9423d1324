/* Another library that stands in front of read: counts the calls, and passes them on. Its constructor reads from a
 * connection too, which may be before the hook's own. */
#include <dlfcn.h>
#include <string.h>

static int calls;

ssize_t read(int fd, void *buffer, size_t count) {
    ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    calls++;
    return next(fd, buffer, count);
}

__attribute__((constructor)) static void loaded(void) {
    struct connection c = connection();
    assert(write(c.client, "before", 6) == 6);
    char byte;
    for (int i = 0; i < 6; i++)
        assert(read(c.server, &byte, 1) == 1 && byte == "before"[i]);
    close(c.server);
    close(c.client);
}

__attribute__((destructor)) static void unloaded(void) { fprintf(stderr, "%d calls\n", calls); }
