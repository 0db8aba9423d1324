/* Reads through the hook and past it, when SIGUSR1 tells it to. */
ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room);

int main(void) {
    struct connection c = connection();
    char byte;
    int p[2], number;
    sigset_t go;
    assert(pipe(p) == 0);
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    assert(sigprocmask(SIG_BLOCK, &go, NULL) == 0);
    fputs("ready\n", stderr);
    assert(sigwait(&go, &number) == 0);
    for (int i = 0; i < 600; i++)
        assert(write(c.client, "x", 1) == 1);
    for (int i = 0; i < 300; i++)
        assert(read(c.server, &byte, 1) == 1);
    for (int i = 0; i < 200; i++)
        assert(syscall(SYS_read, c.server, &byte, 1) == 1);
    for (int i = 0; i < 100; i++)
        assert(__read_chk(c.server, &byte, 1, 1) == 1);
    for (int i = 0; i < 50; i++)
        assert(write(p[1], "x", 1) == 1 && read(p[0], &byte, 1) == 1);
    fputs("done\n", stderr);
    for (;;)
        pause();
}
