static struct connection c;
static volatile int returned;

static void *read_once(void *unused) {
    char buffer[8];
    returned = read(c.server, buffer, sizeof buffer);
    for (;;)
        pause();
}

int main(void) {
    for (int closed = 0; closed < 2; closed++) {
        pthread_t thread;
        void *result;
        c = connection();
        returned = -1;
        for (int fd = 500; closed && fd < 600; fd++)
            close(fd);
        assert(write(c.client, "admin", 5) == 5);
        assert(pthread_create(&thread, NULL, read_once, NULL) == 0);
        /* What it computes beyond its start is the hook's wait, which comes behind the system call. */
        clockid_t clock;
        struct timespec used = {0};
        assert(pthread_getcpuclockid(thread, &clock) == 0);
        while (returned == -1 && used.tv_sec == 0 && used.tv_nsec < 5000000) {
            sched_yield();
            assert(clock_gettime(clock, &used) == 0);
        }
        pthread_cancel(thread);
        assert(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        printf("%d\n", returned);
    }
    return 0;
}
