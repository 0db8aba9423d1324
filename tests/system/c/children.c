static struct connection c;
static int p[2];

static void succeeds(pid_t child) {
    int status;
    assert(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void vfork_and_close(void) {
    pid_t child = vfork();
    if (child == 0) {
        close(c.server);
        _exit(0);
    }
    succeeds(child);
}

/* Closes the connection and gives its number to a pipe, without telling the hook. */
static void close_and_reuse(void) {
    assert(close(c.server) == 0 && dup2(p[0], c.server) == c.server);
}

int main(void) {
    c = connection();
    assert(pipe(p) == 0);
    vfork_and_close();
    pass("after-vfork", c.client, c.server);

    pid_t child = fork();
    if (child == 0) {
        vfork_and_close();
        pass("in-fork-after-vfork", c.client, c.server);
        close_and_reuse();
        pass("in-fork-after-close", p[1], c.server);
        _exit(0);
    }
    succeeds(child);

    /* No handlers of fork run in this one. */
    child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        pass("in-clone", c.client, c.server);
        close_and_reuse();
        pass("in-clone-after-close", p[1], c.server);
        _exit(0);
    }
    succeeds(child);

    pass("after-fork", c.client, c.server);
    close_and_reuse();
    pass("after-close", p[1], c.server);
    return 0;
}
