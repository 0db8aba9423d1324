/* Calls the function `probed` in many ways, and counts what became of its calls. Prints where the
 * function is, waits for a byte, does what its argument says, prints the counts, and waits again. */
#define _GNU_SOURCE
#include <assert.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef GO_NOTE
/* What Go's linker leaves in each file. */
__asm__(".pushsection .note.go.buildid, \"a\", @note\n"
        ".long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.long 0\n.popsection");
#endif

/* Returns that the kernel waits for in one thread. */
#define LIMIT 64

static long entered;         /* calls */
static long left;            /* ... left by longjmp */
static long beyond;          /* ... made while the kernel waited for 64 returns */
static long ended;           /* ... that a thread or program ended in */
static __thread long depth;  /* calls that are open in this thread */
static char **arguments;

static void wait_for_byte(void) {
    char byte;
    if (read(0, &byte, 1) != 1)
        _exit(0);
}

/* By write(2) alone, which the filter allows. */
#define PRINT(...) \
    do { \
        char line[128]; \
        int length = snprintf(line, sizeof line, __VA_ARGS__); \
        assert(write(1, line, length) == length); \
    } while (0)

typedef void action(void);

/* Calls itself until `levels` calls are open, then does something inside. */
__attribute__((noinline)) long probed(long levels, action *inside) {
    entered++;
    if (++depth > LIMIT)
        beyond++;
    if (levels > 1)
        probed(levels - 1, inside);
    else if (inside)
        inside();
    return --depth;
}

static long followed(long calls) {
    return calls < LIMIT ? calls : LIMIT;
}

static void recursion(void) {
    for (long levels = 1; levels <= 70; levels++)
        probed(levels, NULL);
}

/* Two functions that jump to each other instead of calling: all share one frame. */
long odd(long n);

__attribute__((noinline)) long even(long n) {
    entered++;
    if (++depth > LIMIT)
        beyond++;
    return n == 0 ? 1 : odd(n - 1);
}

__attribute__((noinline)) long odd(long n) {
    __asm__ volatile("");
    return n == 0 ? 0 : even(n - 1);
}

static void tail(void) {
    for (long n = 0; n < 200; n++) {
        depth = 0;
        even(n);
    }
}

static jmp_buf out;
static long kept;

static void jump(void) {
    left += followed(depth) - followed(kept);
    depth = kept;
    longjmp(out, 1);
}

static void leave(long levels) {
    kept = depth;
    if (!setjmp(out))
        probed(levels, jump);
}

static void leave_six(void) {
    leave(6);
}

static void longjmps(void) {
    for (long levels = 1; levels <= 20; levels++)
        leave(levels);
    for (int i = 0; i < 10; i++)
        probed(4, leave_six);
    for (int i = 0; i < 1000; i++)
        leave(3);
    probed(5, NULL);
}

static void leave_the_limit(void) {
    leave(69);
    /* The kernel waits for the returns of the calls that were left, until an outer call returns. */
    for (int i = 0; i < 5; i++)
        probed(1, NULL);
    beyond += 5;
}

static void limit(void) {
    probed(1, leave_the_limit);
    for (int i = 0; i < 5; i++)
        probed(1, NULL);
}

static void thread_exit(void) {
    pthread_exit(NULL);
}

static void raw_exit(void) {
    syscall(SYS_exit, 0);
}

static void wait_forever(void) {
    for (;;)
        pause();
}

static void *run_three(void *inside) {
    ended += 3;
    probed(3, (action *)inside);
    return NULL;
}

static void threads(void) {
    static action *const ways[] = {thread_exit, raw_exit, wait_forever};
    for (int i = 0; i < 60; i++) {
        pthread_t thread;
        assert(pthread_create(&thread, NULL, run_three, (void *)ways[i % 3]) == 0);
        if (ways[i % 3] == wait_forever)
            pthread_cancel(thread);
        assert(pthread_join(thread, NULL) == 0);
    }
    probed(5, NULL);
}

static void execute(const char *next) {
    char counts[2][32];
    snprintf(counts[0], sizeof counts[0], "%ld", entered);
    snprintf(counts[1], sizeof counts[1], "%ld", ended);
    execl("/proc/self/exe", arguments[0], next, counts[0], counts[1], NULL);
    abort();
}

static void execute_second(void) {
    ended += 3;
    execute("exec-second");
}

static void exec_first(void) {
    probed(3, execute_second);
}

static volatile int is_inside;

static void stay(void) {
    is_inside = 1;
    wait_forever();
}

static void *stay_inside(void *unused) {
    probed(4, stay);
    return NULL;
}

static void execute_third(void) {
    ended += 4 + 1 + 2; /* one thread stays inside, the first waits inside, this one executes */
    execute("exec-third");
}

static void *execute_inside(void *unused) {
    probed(2, execute_third);
    return NULL;
}

static void execute_in_thread(void) {
    pthread_t thread;
    assert(pthread_create(&thread, NULL, execute_inside, NULL) == 0);
    pthread_join(thread, NULL);
}

static void exec_second(void) {
    pthread_t thread;
    assert(pthread_create(&thread, NULL, stay_inside, NULL) == 0);
    while (!is_inside)
        usleep(1000);
    probed(1, execute_in_thread);
}

static void exec_third(void) {
    probed(5, NULL);
}

static pid_t child;

static void fork_inside(void) {
    child = fork();
    if (child > 0)
        assert(waitpid(child, NULL, 0) == child);
}

static void vfork_inside(void) {
    long entered_before = entered;
    child = vfork();
    if (child == 0) {
        probed(3, NULL);
        _exit(0);
    }
    assert(waitpid(child, NULL, 0) == child);
    entered = entered_before;
}

/* The children make 7 and 3 calls of their own. The first one also returns from the two that its
 * parent was in. */
static void forks(void) {
    probed(2, fork_inside);
    if (child == 0) {
        probed(7, NULL);
        _exit(0);
    }
    probed(2, vfork_inside);
    probed(5, NULL);
}

/* Kills the process at any other system call than these. */
static void install_filter(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static const struct {
    const char *name;
    action *work;
} ways[] = {
    {"recursion", recursion},     {"tail", tail},
    {"longjmp", longjmps},        {"limit", limit},
    {"threads", threads},         {"exec", exec_first},
    {"exec-second", exec_second}, {"exec-third", exec_third},
    {"forks", forks},             {"filter", recursion},
};

int main(int count, char **values) {
    arguments = values;
    if (count == 4) {
        entered = atol(values[2]);
        ended = atol(values[3]);
    } else {
        PRINT("%p\n", (void *)probed);
        if (strcmp(values[1], "filter") == 0)
            install_filter();
        wait_for_byte();
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, values[1]) == 0)
            ways[i].work();
    PRINT("%ld %ld %ld %ld\n", entered, left, beyond, ended);
    wait_for_byte();
    return 0;
}
