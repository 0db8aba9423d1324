/* hookprobe.h: the probe sites of hookprobe, for read interposers in C and C++.
 *
 * A hook that carries these sites is measured by `probe-user bench --hook YOURS.so` as hookprobe's own is: alone, in
 * the running server, and end to end; and `probe-user validate truth --hook YOURS.so` says from which delay behind it on
 * the measurement finds one. bpftrace, perf and bcc see the sites too. docs/probe-sites.md describes them;
 * hook/examples/interposer.c is a hook that uses this header.
 *
 * One source file of the hook defines HOOKPROBE_IMPLEMENTATION before it includes this header; others just include it.
 * Compile that file without -flto: the sites are assembly that the compiler does not see into.
 *
 * In the hook:
 *
 *     accept    connection = hookprobe_connection();          a number for each accepted IPv4 or IPv6 connection,
 *               hookprobe_accepted(fd, connection);           which the hook keeps for the descriptor
 *     close     hookprobe_closed(fd, connection);             before the descriptor is closed
 *     read      struct hookprobe_call call;                   on a descriptor with a connection, else none of it
 *               hookprobe_enter(&call);
 *               returned = the next read(...);
 *               hookprobe_inner_exit(&call, returned);        waits here if a delay is to be injected
 *               the work of the hook
 *               hookprobe_read_done(&call, fd, connection, returned, HOOKPROBE_NO_MATCH, HOOKPROBE_READ);
 *
 * While no tracer is attached none of these reads a clock, and the two around a read cost a load and a branch each
 * (and one more for the delay).
 *
 * READHOOK_DELAY_NS (0 to 60000000000) has every read of a connection that returned bytes wait, busily, so many
 * nanoseconds. Nonsense there is one line on stderr that begins with "readhook: ", which probe-user looks for.
 *
 * Everything here is async-signal-safe and keeps errno.
 *
 * Linux, x86-64 and arm64, gcc and clang; C99 and C++11 or later. */
#ifndef HOOKPROBE_H
#define HOOKPROBE_H

#if !defined __linux__ || (!defined __x86_64__ && !defined __aarch64__)
#error "hookprobe.h: the sites exist for Linux on x86-64 and arm64"
#endif

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Provider of the notes. probe-user looks for "readhook"; another name is for other tools. */
#ifndef HOOKPROBE_PROVIDER
#define HOOKPROBE_PROVIDER "readhook"
#endif

/* Which function was called: bits 48-55 of the call word. */
enum hookprobe_function {
    HOOKPROBE_READ = 0,
    HOOKPROBE_RECV = 1,
    HOOKPROBE_RECVFROM = 2,
    HOOKPROBE_RECVMSG = 3,
    HOOKPROBE_READV = 4,
};

/* Instead of the rank of a matched word. */
#define HOOKPROBE_NO_MATCH (-1)

#ifdef __cplusplus
extern "C" {
#endif

#define HOOKPROBE_HIDDEN __attribute__((visibility("hidden")))

/* Counters of tracers, which the kernel writes. */
extern volatile uint16_t hookprobe_read_done_semaphore HOOKPROBE_HIDDEN;
extern volatile uint16_t hookprobe_accepted_semaphore HOOKPROBE_HIDDEN;
extern volatile uint16_t hookprobe_closed_semaphore HOOKPROBE_HIDDEN;

/* The sites. Their arguments are in the registers of a C call, which is where tracers look. */
HOOKPROBE_HIDDEN void hookprobe_site_read_done(uint64_t call_word, ssize_t returned, uint64_t enter_ns,
                                               uint64_t inner_exit_ns, uint64_t exit_ns, uint64_t connection);
HOOKPROBE_HIDDEN void hookprobe_site_accepted(int fd, uint64_t connection, uint32_t family, uint32_t port,
                                              uint64_t accepted_ns);
HOOKPROBE_HIDDEN void hookprobe_site_closed(int fd, uint64_t connection);

/* How long a read of a connection waits, in nanoseconds; 0 for not at all. */
extern uint64_t hookprobe_wait_ns HOOKPROBE_HIDDEN;
/* Connections so far. */
extern uint64_t hookprobe_connections HOOKPROBE_HIDDEN;

/* Nanoseconds on the clock that the kernel's probes and the load generator read too. */
static inline uint64_t hookprobe_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* by the vDSO; this clock always exists, so errno is kept */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A number that, with high probability, no other connection of this machine has; never 0. */
static inline uint64_t hookprobe_connection(void) {
    uint64_t count = __atomic_fetch_add(&hookprobe_connections, 1, __ATOMIC_RELAXED);
    uint64_t seed = hookprobe_now_ns() ^ (uint64_t)(uint32_t)getpid() << 32 ^ (count >> 16 | count << 48);
    /* The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64 bits. */
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebu;
    seed ^= seed >> 31;
    return seed ? seed : 1;
}

/* A connection was accepted: an IPv4 or IPv6 socket, whose peer the kernel is asked for. */
static inline void hookprobe_accepted(int fd, uint64_t connection) {
    if (!hookprobe_accepted_semaphore)
        return;
    int errno_before = errno;
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    memset(&peer, 0, sizeof peer);
    /* A peer that is gone already has family 0. The port of sockaddr_in is at the same place. */
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0)
        memset(&peer, 0, sizeof peer);
    hookprobe_site_accepted(fd, connection, peer.sin6_family, ntohs(peer.sin6_port), hookprobe_now_ns());
    errno = errno_before;
}

/* A connection is about to be closed. */
static inline void hookprobe_closed(int fd, uint64_t connection) {
    if (hookprobe_closed_semaphore)
        hookprobe_site_closed(fd, connection);
}

/* A hooked read of a connection. */
struct hookprobe_call {
    /* Whether a tracer was attached on entry. */
    int is_watched;
    /* When the hook was entered and when the next read had returned; 0 while nobody watches. */
    uint64_t enter_ns, inner_exit_ns;
};

/* On entry to the hook. */
static inline void hookprobe_enter(struct hookprobe_call *call) {
    call->is_watched = hookprobe_read_done_semaphore != 0;
    call->enter_ns = call->is_watched ? hookprobe_now_ns() : 0;
}

/* When the next read has returned. Injects the delay. */
static inline void hookprobe_inner_exit(struct hookprobe_call *call, ssize_t returned) {
    call->inner_exit_ns = call->is_watched ? hookprobe_now_ns() : 0;
    if (hookprobe_wait_ns && returned > 0) {
        uint64_t deadline_ns = hookprobe_now_ns() + hookprobe_wait_ns;
        while (hookprobe_now_ns() < deadline_ns)
            ; /* no pause instruction: it would make the end of the wait coarser */
    }
}

/* Before the hook returns. `rank` is the position of the matched word in its list, below 65535, or HOOKPROBE_NO_MATCH. */
static inline void hookprobe_read_done(const struct hookprobe_call *call, int fd, uint64_t connection, ssize_t returned,
                                       int rank, enum hookprobe_function function) {
    if (!call->is_watched)
        return;
    uint64_t call_word = (uint64_t)(uint32_t)fd | (uint64_t)(uint16_t)(rank + 1) << 32 | (uint64_t)function << 48;
    hookprobe_site_read_done(call_word, returned, call->enter_ns, call->inner_exit_ns, hookprobe_now_ns(), connection);
}

#ifdef HOOKPROBE_IMPLEMENTATION

uint64_t hookprobe_wait_ns = 0;
uint64_t hookprobe_connections = 0;

/* The note points at the first byte of a site. docs/probe-sites.md says what the three NOPs are for. On arm64 a probe is a
 * trap whatever is there. */
#ifdef __x86_64__
#define HOOKPROBE_SITE_BODY                                                                                           \
    "990: .byte 0x90\n"                                                                                               \
    ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00\n"                                              \
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"                                                                            \
    "ret\n"
#define HOOKPROBE_READ_DONE_ARGUMENTS "-4@%edi -8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9 8@%rdi"
#define HOOKPROBE_ACCEPTED_ARGUMENTS "-4@%edi 8@%rsi 4@%edx 4@%ecx 8@%r8"
#define HOOKPROBE_CLOSED_ARGUMENTS "-4@%edi 8@%rsi"
#else
#define HOOKPROBE_SITE_BODY                                                                                           \
    "990: nop\n"                                                                                                      \
    "ret\n"
#define HOOKPROBE_READ_DONE_ARGUMENTS "-4@x0 -8@x1 8@x2 8@x3 8@x4 8@x5 8@x0"
#define HOOKPROBE_ACCEPTED_ARGUMENTS "-4@x0 8@x1 4@x2 4@x3 8@x4"
#define HOOKPROBE_CLOSED_ARGUMENTS "-4@x0 8@x1"
#endif

/* A site is a function of its own, as the kernel may replace a NOP by a call, which writes below the stack pointer. Its
 * note has the layout of <sys/sdt.h>: type 3, owner "stapsdt", the addresses of site, section base and semaphore,
 * then provider, name and arguments. */
#define HOOKPROBE_SITE(name, arguments)                                                                               \
    __asm__(".pushsection .probes, \"aw\", %progbits\n"                                                               \
            ".balign 2\n"                                                                                             \
            ".globl hookprobe_" name "_semaphore\n"                                                                   \
            ".hidden hookprobe_" name "_semaphore\n"                                                                  \
            ".type hookprobe_" name "_semaphore, %object\n"                                                           \
            ".size hookprobe_" name "_semaphore, 2\n"                                                                 \
            "hookprobe_" name "_semaphore: .2byte 0\n"                                                                \
            ".popsection\n"                                                                                           \
            ".pushsection .text.hookprobe_sites, \"ax\", %progbits\n"                                                 \
            ".balign 32\n" /* a probe that is replaced must not cross a page */                                       \
            ".globl hookprobe_site_" name "\n"                                                                        \
            ".hidden hookprobe_site_" name "\n"                                                                       \
            ".type hookprobe_site_" name ", %function\n"                                                              \
            "hookprobe_site_" name ":\n"                                                                              \
            ".cfi_startproc\n" HOOKPROBE_SITE_BODY ".cfi_endproc\n"                                                   \
            ".size hookprobe_site_" name ", . - hookprobe_site_" name "\n"                                            \
            ".popsection\n"                                                                                           \
            ".pushsection .note.stapsdt, \"\", %note\n"                                                               \
            ".balign 4\n"                                                                                             \
            ".4byte 992f - 991f, 994f - 993f, 3\n"                                                                    \
            "991: .asciz \"stapsdt\"\n"                                                                               \
            "992: .balign 4\n"                                                                                        \
            "993: .8byte 990b\n"                                                                                      \
            ".8byte _.stapsdt.base\n"                                                                                 \
            ".8byte hookprobe_" name "_semaphore\n"                                                                   \
            ".asciz \"" HOOKPROBE_PROVIDER "\"\n"                                                                     \
            ".asciz \"" name "\"\n"                                                                                   \
            ".asciz \"" arguments "\"\n"                                                                              \
            "994: .balign 4\n"                                                                                        \
            ".popsection\n"                                                                                           \
            ".ifndef _.stapsdt.base\n"                                                                                \
            ".pushsection .stapsdt.base, \"aG\", %progbits, .stapsdt.base, comdat\n"                                  \
            ".weak _.stapsdt.base\n"                                                                                  \
            ".hidden _.stapsdt.base\n"                                                                                \
            "_.stapsdt.base: .space 1\n"                                                                              \
            ".size _.stapsdt.base, 1\n"                                                                               \
            ".popsection\n"                                                                                           \
            ".endif\n")

HOOKPROBE_SITE("read_done", HOOKPROBE_READ_DONE_ARGUMENTS);
HOOKPROBE_SITE("accepted", HOOKPROBE_ACCEPTED_ARGUMENTS);
HOOKPROBE_SITE("closed", HOOKPROBE_CLOSED_ARGUMENTS);

/* What one clock read costs: the least of several means, as interrupts only ever add. */
static uint64_t hookprobe_clock_read_ns(void) {
    uint64_t least_ns = UINT64_MAX;
    for (int attempt = 0; attempt < 20; attempt++) {
        uint64_t start_ns = hookprobe_now_ns();
        for (int i = 1; i < 200; i++)
            hookprobe_now_ns();
        uint64_t mean_ns = (hookprobe_now_ns() - start_ns) / 200;
        if (mean_ns < least_ns)
            least_ns = mean_ns;
    }
    return least_ns;
}

/* Reads READHOOK_DELAY_NS when the hook is loaded. In a set-uid program the variable is the user's, and not heeded. */
__attribute__((constructor)) static void hookprobe_load(void) {
    const uint64_t longest_ns = 60000000000u;
    const char *digit = getenv("READHOOK_DELAY_NS");
    if (!digit || !*digit || getauxval(AT_SECURE))
        return;
    uint64_t delay_ns = 0;
    for (; *digit >= '0' && *digit <= '9' && delay_ns <= longest_ns; digit++)
        delay_ns = delay_ns * 10 + (uint64_t)(*digit - '0');
    if (*digit || delay_ns > longest_ns) {
        static const char complaint[] = "readhook: READHOOK_DELAY_NS must be a whole number from 0 to 60000000000; "
                                        "no delay is injected\n";
        if (write(2, complaint, sizeof complaint - 1) < 0) {
            /* there is nobody to tell */
        }
        return;
    }
    /* A wait reads the clock once before it begins, and ends half a read late on average. */
    uint64_t lost_ns = hookprobe_clock_read_ns() * 3 / 2;
    hookprobe_wait_ns = delay_ns > lost_ns ? delay_ns - lost_ns : 0;
}

#endif /* HOOKPROBE_IMPLEMENTATION */

#ifdef __cplusplus
}
#endif

#endif /* HOOKPROBE_H */
