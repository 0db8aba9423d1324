int main(void) {
    struct connection c = connection();
    pass("admin", c.client, c.server);
    printf("%lu\n", getauxval(AT_SECURE));
    return 0;
}
