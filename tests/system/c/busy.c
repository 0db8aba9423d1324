/* Calls busy() over and over, which waits as long as the first argument says in ns. Before that it
   writes to the second argument how long a call takes really: the mean of many, less one clock read. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

__attribute__((noinline)) void busy(long wait_ns) {
    long end_ns = now_ns() + wait_ns;
    while (now_ns() < end_ns) {
    }
}

static int by_value(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

enum { CALLS = 2001 };

/* The median of calls of busy, or of nothing, timed one by one. */
static long median_ns(long wait_ns) {
    static long took_ns[CALLS];
    for (int i = 0; i < CALLS; i++) {
        long start_ns = now_ns();
        if (wait_ns > 0)
            busy(wait_ns);
        took_ns[i] = now_ns() - start_ns;
    }
    qsort(took_ns, CALLS, sizeof took_ns[0], by_value);
    return took_ns[CALLS / 2];
}

int main(int count, char **argument) {
    long wait_ns = count > 2 ? atol(argument[1]) : 0;
    FILE *length = fopen(argument[2], "w");
    fprintf(length, "%ld\n", median_ns(wait_ns) - median_ns(0));
    fclose(length);
    for (;;)
        busy(wait_ns);
}
