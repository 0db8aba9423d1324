/* Reads in odd places and with odd arguments. Each word passes once through the hook.
 *
 * odd_places LIBRARY: a library whose constructor and destructor read, too. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct connection c;

__attribute__((constructor)) static void before_main(void) {
    c = connection();
    pass("in-constructor", c.client, c.server);
}

__attribute__((destructor)) static void after_main(void) { pass("in-destructor", c.client, c.server); }

static void on_exit_handler(void) { pass("in-atexit", c.client, c.server); }

static void do_nothing(int number) { (void)number; }

/* The wrapper must give what the system call gives. */
static void like_the_kernel(void *buffer, size_t count) {
    errno = 0;
    ssize_t expected = syscall(SYS_read, c.server, buffer, count);
    int expected_errno = errno;
    errno = 0;
    assert(read(c.server, buffer, count) == expected && errno == expected_errno);
    assert(expected == -1 && expected_errno != 0);
}

static void *in_thread(void *library) {
    /* The loader's lock is held while the constructor runs, in a thread that is not the first. */
    void *loaded = dlopen(library, RTLD_NOW);
    assert(loaded != NULL);
    assert(dlclose(loaded) == 0);
    return NULL;
}

int main(int count, char **arguments) {
    char buffer[64];
    assert(count == 2 && atexit(on_exit_handler) == 0);

    pthread_t thread;
    assert(pthread_create(&thread, NULL, in_thread, arguments[1]) == 0);
    assert(pthread_join(thread, NULL) == 0);

    /* Nothing to read, nowhere to put it, and more than there can be. */
    void *volatile nowhere = NULL;
    assert(fcntl(c.server, F_SETFL, O_NONBLOCK) == 0);
    like_the_kernel(buffer, sizeof buffer); /* EAGAIN */
    assert(write(c.client, "kept", 4) == 4);
    like_the_kernel(nowhere, 8);
    like_the_kernel(nowhere, SIZE_MAX);
    like_the_kernel(buffer, SIZE_MAX);
    like_the_kernel(buffer, (size_t)SSIZE_MAX + 1);
    errno = 77;
    assert(read(c.server, nowhere, 0) == 0 && read(c.server, buffer, 0) == 0 && errno == 77);
    assert(read(c.server, buffer, 4) == 4 && memcmp(buffer, "kept", 4) == 0);
    errno = 0;
    assert(read(-1, nowhere, SIZE_MAX) == -1 && errno == EBADF);
    assert(read(INT32_MAX, buffer, 1) == -1 && errno == EBADF);
    assert(read(INT32_MIN, buffer, 1) == -1 && errno == EBADF);

    /* More than there is room for, of which the kernel fills what there is; and a buffer whose last byte is the
     * last that can be read. */
    long page = sysconf(_SC_PAGESIZE);
    void *low = (void *)(64L << 30); /* so that a huge count does not reach the end of all addresses */
    char *map = mmap(low, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(map != MAP_FAILED && mprotect(map + page, page, PROT_NONE) == 0);
    assert(write(c.client, "huge-count", 10) == 10);
    assert(read(c.server, map + page - 10, (size_t)1 << 33) == 10);
    for (long length = 1; length <= 100; length++) {
        char sent[100];
        memset(sent, 'x', sizeof sent);
        assert(write(c.client, sent, length) == length);
        assert(read(c.server, map + page - length, length) == length);
    }
    /* Half of it fits: the kernel says how much it has written, or that the address is bad. */
    assert(write(c.client, "half of it", 10) == 10);
    ssize_t half = read(c.server, map + page - 5, 10);
    assert(half == 5 || (half == -1 && errno == EFAULT));
    while (read(c.server, buffer, sizeof buffer) > 0)
        ;
    assert(errno == EAGAIN);

    /* A signal ends the wait. */
    struct sigaction action = {.sa_handler = do_nothing};
    assert(sigaction(SIGALRM, &action, NULL) == 0 && fcntl(c.server, F_SETFL, 0) == 0);
    alarm(1);
    assert(read(c.server, buffer, sizeof buffer) == -1 && errno == EINTR);
    pass("in-main", c.client, c.server);
    return 0;
}
