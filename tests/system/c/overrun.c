/* Reads more than its buffer has room for. */
#include <stdlib.h>

int main(void) {
    struct connection c = connection();
    char *buffer = malloc(8);
    assert(write(c.client, "more than eight bytes", 21) == 21);
    ssize_t count = read(c.server, buffer, 21);
    free(buffer);
    return count == 21 ? 0 : 1;
}
