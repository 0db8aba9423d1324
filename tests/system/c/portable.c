/* Runs under any C library of x86-64: it is linked to stubs without versions, and starts by itself.
 * Says which one it runs under. Asks of the hook what depends on the C library: the next read, errno,
 * threads, fork and its handlers, signals. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "mov %rdx, %r9\n"
        "pop %rsi\n"
        "mov %rsp, %rdx\n"
        "and $-16, %rsp\n"
        "push %rax\n"
        "push %rsp\n"
        "xor %r8d, %r8d\n"
        "xor %ecx, %ecx\n"
        "lea main(%rip), %rdi\n"
        "call *__libc_start_main@GOTPCREL(%rip)\n"
        "hlt\n");

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener, client, server;
static char buffer[64];
static void *volatile nowhere;

static void say(const char *text) {
    assert(write(1, text, strlen(text)) == (ssize_t)strlen(text));
}

/* Even on the loopback device, what was written takes its time to arrive where CPUs are busy. */
static void await(int from) {
    struct pollfd arrives = {.fd = from, .events = POLLIN};
    assert(poll(&arrives, 1, 10000) == 1);
}

static void pass(const char *word, int to, int from) {
    assert(write(to, word, strlen(word)) == (ssize_t)strlen(word));
    await(from);
    assert(read(from, buffer, sizeof buffer) == (ssize_t)strlen(word));
    assert(memcmp(buffer, word, strlen(word)) == 0);
}

static void *in_thread(void *unused) {
    errno = 5;
    pass("in-thread", client, server);
    assert(errno == 5);
    return unused;
}

static void in_handler(int number) {
    (void)number;
    pass("in-handler", client, server);
}

int main(void) {
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert(bind(listener, (void *)&address, length) == 0 && listen(listener, 2) == 0);
    assert(getsockname(listener, (void *)&address, &length) == 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    assert(connect(client, (void *)&address, length) == 0);
    server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert(server >= 0);

    errno = 0;
    assert(read(server, buffer, sizeof buffer) == -1 && errno == EAGAIN);
    assert(read(-1, buffer, 1) == -1 && errno == EBADF);
    assert(write(client, "x", 1) == 1);
    await(server);
    assert(read(server, nowhere, 8) == -1 && errno == EFAULT);
    errno = 77;
    assert(read(server, buffer, 0) == 0 && read(server, buffer, 8) == 1 && errno == 77);
    pass("in-main", client, server);
    assert(errno == 77);

    pthread_t thread;
    assert(pthread_create(&thread, NULL, in_thread, NULL) == 0);
    assert(pthread_join(thread, NULL) == 0);

    struct sigaction action = {.sa_handler = in_handler};
    assert(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0);

    /* The child has a copy of the marks, and clears its own. */
    int p[2], status;
    assert(pipe(p) == 0);
    pid_t child = fork();
    if (child == 0) {
        pass("in-fork", client, server);
        assert(close(server) == 0 && dup2(p[0], server) == server);
        pass("not-a-connection", p[1], server);
        _exit(0);
    }
    assert(waitpid(child, &status, 0) == child && status == 0);
    pass("after-fork", client, server);
    assert(close(server) == 0 && close(server) == -1 && errno == EBADF);

    char version[64] = "";
    confstr(_CS_GNU_LIBC_VERSION, version, sizeof version);
    say(version[0] ? version : "not glibc");
    say("\n");
    return 7;
}
