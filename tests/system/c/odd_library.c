/* Reads while it is loaded and while it is unloaded. */
static struct connection mine;

__attribute__((constructor)) static void loaded(void) {
    mine = connection();
    pass("in-dlopen", mine.client, mine.server);
}

__attribute__((destructor)) static void unloaded(void) {
    pass("in-dlclose", mine.client, mine.server);
    close(mine.server);
}
