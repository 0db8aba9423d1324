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
        for (int left = 5; left > 0; ioctl(c.server, FIONREAD, &left))
            usleep(1000);
        usleep(50000); /* out of the system call, into the wait */
        pthread_cancel(thread);
        assert(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        printf("%d\n", returned);
    }
    return 0;
}
