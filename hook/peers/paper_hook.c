/* The read hook of the paper, as its description has it, to be measured against. README.md here says what is
 * wrong with it; none of that is to be mended. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { DESCRIPTORS = 1000, WORDS = 4096 };

/* The list, as it is in the file, and a NUL. */
__asm__(".pushsection .rodata\n"
        "paper_hook_keywords: .incbin \"" KEYWORDS "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char paper_hook_keywords[] __attribute__((visibility("hidden")));

static bool is_connection[DESCRIPTORS];
static const char *words[WORDS];
static size_t word_count;
static const char *log_path = "paper_hook.log";

/* A whole file as a string, or NULL. */
static char *file_text(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    char *text = NULL;
    size_t capacity = 0;
    if (getdelim(&text, &capacity, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("PAPER_HOOK_KEYWORDS");
    char *text = path ? file_text(path) : strdup(paper_hook_keywords);
    if (!text) {
        fprintf(stderr, "paper_hook: PAPER_HOOK_KEYWORDS cannot be read\n");
        abort();
    }
    char *rest = text;
    for (char *word; (word = strsep(&rest, "\r\n")) && word_count < WORDS;)
        if (*word)
            words[word_count++] = word;
    if (getenv("PAPER_HOOK_LOG"))
        log_path = getenv("PAPER_HOOK_LOG");
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
    int (*next)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");
    int accepted = next(fd, address, length);
    if (accepted >= 0 && accepted < DESCRIPTORS && address)
        is_connection[accepted] = true;
    return accepted;
}

ssize_t read(int fd, void *buffer, size_t count) {
    ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    ssize_t returned = next(fd, buffer, count);
    if (returned <= 0 || fd < 0 || fd >= DESCRIPTORS || !is_connection[fd])
        return returned;
    for (size_t i = 0; i < word_count; i++) {
        if (!strstr(buffer, words[i]))
            continue;
        FILE *file = fopen(log_path, "a");
        if (file) {
            fprintf(file, "%s\n", words[i]);
            fclose(file);
        }
        break;
    }
    return returned;
}
