/* A libmodbus server for unit 1: libmodbus-server tcp IMAGE | rtu PATH IMAGE
 * IMAGE is a file of lines `table address hex`, four hex digits a register, two a bit.
 * Prints `ready PORT` (or `ready`) when it listens. */
#include <arpa/inet.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct block {
    unsigned address, count;
    uint16_t values[4096];
};

static void read_image(const char *path, struct block blocks[4])
{
    static const char *const names[] = {"coil", "discrete", "holding", "input"};
    static char table[16], digits[65536];
    unsigned address;
    FILE *file = fopen(path, "r");
    if (!file) exit(66);
    while (fscanf(file, "%15s %u %65535s", table, &address, digits) == 3) {
        for (int kind = 0; kind < 4; kind++) {
            if (strcmp(table, names[kind])) continue;
            struct block *block = &blocks[kind];
            unsigned width = kind < 2 ? 2 : 4;
            block->address = address;
            block->count = strlen(digits) / width;
            for (unsigned index = 0; index < block->count; index++) {
                char part[5] = {0};
                memcpy(part, digits + index * width, width);
                block->values[index] = strtoul(part, NULL, 16);
            }
        }
    }
    fclose(file);
}

static void serve(modbus_t *context, modbus_mapping_t *mapping)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(context, query);
        if (length > 0) modbus_reply(context, query, length, mapping);
        if (length < 0) return;
    }
}

int main(int argc, char **argv)
{
    static struct block blocks[4];
    if (argc < 3) return 64;
    read_image(argv[argc - 1], blocks);
    modbus_mapping_t *mapping = modbus_mapping_new_start_address(
        blocks[0].address, blocks[0].count, blocks[1].address, blocks[1].count,
        blocks[2].address, blocks[2].count, blocks[3].address, blocks[3].count);
    for (unsigned index = 0; index < blocks[0].count; index++) mapping->tab_bits[index] = blocks[0].values[index];
    for (unsigned index = 0; index < blocks[1].count; index++) mapping->tab_input_bits[index] = blocks[1].values[index];
    memcpy(mapping->tab_registers, blocks[2].values, blocks[2].count * 2);
    memcpy(mapping->tab_input_registers, blocks[3].values, blocks[3].count * 2);

    if (!strcmp(argv[1], "rtu")) {
        modbus_t *context = modbus_new_rtu(argv[2], 19200, 'N', 8, 1);
        modbus_set_slave(context, 1);
        if (modbus_connect(context)) return 69;
        puts("ready");
        fflush(stdout);
        for (;;) serve(context, mapping);
    }
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_set_slave(context, 1);
    int listener = modbus_tcp_listen(context, 1);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length)) return 69;
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(context, &listener) >= 0) serve(context, mapping);
        close(modbus_get_socket(context));
    }
}
