/* Threads that accept, read, duplicate, fork and close without a pause, on descriptors whose numbers wander
 * between them, while a timer's signals interrupt them a thousand times a second and their handler reads too.
 *
 * stress SECONDS ROUNDS [ordered]: each thread goes on until SECONDS are over or it has done ROUNDS rounds,
 * whichever comes first (0: no such end). Checks each result. Prints the rounds, the reads of accepted
 * descriptors that returned the needle, and the bytes read. `ordered` takes a lock where the kernel alone orders
 * who has a descriptor's number, for tools that do not see that. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { THREADS = 8 };

struct work {
    pthread_t thread;
    int listener;
    struct sockaddr_in address;
    unsigned long rounds, needles, bytes;
};

static double until;
static unsigned long most_rounds;
static int ordered;
static pthread_mutex_t numbers = PTHREAD_MUTEX_INITIALIZER;
static struct connection of_handler;
static unsigned long signals, put, got;

static void lock(void) {
    if (ordered)
        assert(pthread_mutex_lock(&numbers) == 0);
}

static void unlock(void) {
    if (ordered)
        assert(pthread_mutex_unlock(&numbers) == 0);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Handlers of several threads share a connection: what one puts, another may get. */
static void interrupted(int number) {
    int before = errno;
    char byte = 'h';
    (void)number;
    if (write(of_handler.client, &byte, 1) == 1)
        __sync_fetch_and_add(&put, 1);
    ssize_t count = read(of_handler.server, &byte, 1);
    assert(count == 1 || (count == -1 && (errno == EAGAIN || errno == EINTR)));
    if (count == 1)
        __sync_fetch_and_add(&got, 1);
    __sync_fetch_and_add(&signals, 1);
    errno = before;
}

static void send_all(int fd, const char *text, size_t length) {
    ssize_t count;
    while ((count = write(fd, text, length)) == -1)
        assert(errno == EINTR);
    assert(count == (ssize_t)length);
}

/* One read must return the text, all of it and nothing else, and touch no byte behind it. */
static void receive(int fd, const char *text, size_t length) {
    char buffer[256];
    ssize_t count;
    memset(buffer, '#', sizeof buffer);
    for (;;) {
        errno = 77;
        count = read(fd, buffer, sizeof buffer);
        if (count != -1)
            break;
        assert(errno == EINTR);
    }
    assert(errno == 77 && count == (ssize_t)length);
    assert(memcmp(buffer, text, length) == 0 && buffer[length] == '#');
}

static void closes(int fd) {
    /* Linux has closed the descriptor even where it says EINTR. */
    assert(close(fd) == 0 || errno == EINTR);
}

static void reaped(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) == -1)
        assert(errno == EINTR);
    assert(status == 0);
}

static void one_round(struct work *work) {
    char text[128];
    unsigned long round = work->rounds++;
    int has_needle = round % 3 == 0;
    size_t length = snprintf(text, sizeof text, "thread %p round %lu %s", (void *)work, round,
                             has_needle ? "needle" : "straw");
    lock();
    int client = socket(AF_INET, SOCK_STREAM, 0), server;
    assert(client >= 0);
    unlock();
    while (connect(client, (void *)&work->address, sizeof work->address) == -1)
        assert(errno == EINTR || errno == EALREADY || errno == EISCONN);
    lock();
    while ((server = accept(work->listener, NULL, NULL)) == -1)
        assert(errno == EINTR);
    unlock();

    send_all(client, text, length);
    receive(server, text, length);
    work->needles += has_needle;
    work->bytes += length;

    /* Another number for the same connection, and a pipe that gets the number of one that was closed. */
    lock();
    int other = dup(server);
    unlock();
    assert(other >= 0);
    send_all(client, "needle by another number", 24);
    receive(other, "needle by another number", 24);
    work->bytes += 24;
    if (round % 5 == 0) {
        int p[2];
        lock();
        closes(server);
        server = -1;
        assert(pipe(p) == 0);
        unlock();
        send_all(p[1], "needle in a pipe", 16);
        receive(p[0], "needle in a pipe", 16);
        work->bytes += 16;
        lock();
        closes(p[0]);
        closes(p[1]);
        unlock();
    } else if (round % 64 == 1) {
        send_all(client, "needle for the child", 20);
        lock(); /* nobody changes what the child finds */
        pid_t child = fork();
        if (child == 0) {
            receive(server, "needle for the child", 20);
            closes(server);
            _exit(0);
        }
        unlock();
        assert(child > 0);
        reaped(child);
        work->needles++;
        work->bytes += 20;
    }
    lock();
    if (server >= 0)
        closes(server);
    closes(other);
    closes(client);
    unlock();
}

static void *run(void *argument) {
    struct work *work = argument;
    while ((most_rounds == 0 || work->rounds < most_rounds) && (until == 0 || now() < until))
        one_round(work);
    return NULL;
}

int main(int count, char **arguments) {
    static struct work work[THREADS];
    unsigned long rounds = 0, needles = 0, bytes = 0;
    assert(count >= 3);
    double seconds = atof(arguments[1]);
    most_rounds = atol(arguments[2]);
    ordered = count > 3;
    of_handler = connection();
    assert(fcntl(of_handler.server, F_SETFL, O_NONBLOCK) == 0);
    assert(fcntl(of_handler.client, F_SETFL, O_NONBLOCK) == 0);
    for (int i = 0; i < THREADS; i++) {
        socklen_t length = sizeof work[i].address;
        work[i].address.sin_family = AF_INET;
        work[i].address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        work[i].listener = socket(AF_INET, SOCK_STREAM, 0);
        assert(bind(work[i].listener, (void *)&work[i].address, length) == 0);
        assert(listen(work[i].listener, 64) == 0);
        assert(getsockname(work[i].listener, (void *)&work[i].address, &length) == 0);
    }
    /* Without SA_RESTART: calls end with EINTR. */
    struct sigaction action = {.sa_handler = interrupted};
    struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    assert(sigaction(SIGALRM, &action, NULL) == 0);
    until = seconds == 0 ? 0 : now() + seconds;
    for (int i = 0; i < THREADS; i++)
        assert(pthread_create(&work[i].thread, NULL, run, &work[i]) == 0);
    assert(setitimer(ITIMER_REAL, &every, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        assert(pthread_join(work[i].thread, NULL) == 0);
        rounds += work[i].rounds;
        needles += work[i].needles;
        bytes += work[i].bytes;
    }
    assert(setitimer(ITIMER_REAL, &never, NULL) == 0);
    char byte;
    while (got < put) {
        struct pollfd arrives = {.fd = of_handler.server, .events = POLLIN};
        assert(poll(&arrives, 1, 10000) == 1 && read(of_handler.server, &byte, 1) == 1);
        got++;
    }
    assert(read(of_handler.server, &byte, 1) == -1 && errno == EAGAIN);
    printf("%lu rounds, %lu needles, %lu bytes\n", rounds, needles, bytes);
    fprintf(stderr, "%lu signals\n", signals);
    return 0;
}
