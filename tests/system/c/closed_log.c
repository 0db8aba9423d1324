enum { THREADS = 8, ROUNDS = 300 };

static struct connection connections[THREADS];
static pthread_barrier_t start, end;

static void *read_each_round(void *number) {
    for (int round = 0; round < ROUNDS; round++) {
        char buffer[8];
        pthread_barrier_wait(&start);
        assert(read(connections[(long)number].server, buffer, sizeof buffer) == 5);
        pthread_barrier_wait(&end);
    }
    return NULL;
}

int main(void) {
    pthread_t thread;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_barrier_init(&end, NULL, THREADS + 1);
    for (long i = 0; i < THREADS; i++) {
        connections[i] = connection();
        assert(pthread_create(&thread, NULL, read_each_round, (void *)i) == 0);
    }
    int most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++)
            assert(write(connections[i].client, "admin", 5) == 5);
        for (int fd = 500; fd < 600; fd++)
            close(fd);
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&end);
        int open = 0;
        for (int fd = 500; fd < 600; fd++)
            open += fcntl(fd, F_GETFD) >= 0;
        most = open > most ? open : most;
    }
    printf("%d\n", most);
    return 0;
}
