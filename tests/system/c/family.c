/* Each relative of read, on a connection and in ways that take nothing out of it. */

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

int main(void) {
    struct connection c = connection();
    char one[4], two[60];
    struct iovec vector[] = {{one, sizeof one}, {two, sizeof two}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};

    assert(write(c.client, "a-recv", 6) == 6);
    assert(recv(c.server, two, sizeof two, MSG_PEEK) == 6); /* the bytes come again */
    assert(recv(c.server, two, sizeof two, 0) == 6 && memcmp(two, "a-recv", 6) == 0);

    assert(write(c.client, "b-recvfrom", 10) == 10);
    assert(recvfrom(c.server, two, sizeof two, 0, NULL, NULL) == 10);

    /* In the second buffer; "c-re" fills the first. */
    assert(write(c.client, "....c-recvmsg", 13) == 13);
    assert(recvmsg(c.server, &message, 0) == 13 && memcmp(two, "c-recvmsg", 9) == 0);

    assert(write(c.client, "....d-readv", 11) == 11);
    assert(readv(c.server, vector, 2) == 11 && memcmp(one, "....", 4) == 0);

    assert(write(c.client, "e-read", 6) == 6);
    assert(read(c.server, two, sizeof two) == 6);

    /* TCP throws these away: nothing is in the buffer, which need not be one. */
    assert(write(c.client, "a-recv", 6) == 6);
    assert(recv(c.server, NULL, 6, MSG_TRUNC) == 6);

    /* Words in two buffers are not found, failures are the kernel's, errno is kept. */
    assert(write(c.client, "..a-recv", 8) == 8);
    assert(readv(c.server, vector, 2) == 8);
    errno = 77;
    assert(write(c.client, "x", 1) == 1 && recv(c.server, two, 1, 0) == 1 && errno == 77);
    assert(recv(c.server, two, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    assert(readv(c.server, vector, -1) == -1 && errno == EINVAL);
    assert(write(c.client, "x", 1) == 1);
    assert(recvmsg(c.server, NULL, 0) == -1 && errno == EFAULT);
    assert(recv(c.server, (void *)1, 1, 0) == -1 && errno == EFAULT);
    assert(recv(-1, two, 1, 0) == -1 && errno == EBADF);

    /* What is no connection is nobody's business. */
    pass("a-recv", c.server, c.client);
    puts("the family holds");
    return 0;
}
