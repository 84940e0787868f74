/* A Modbus RTU server that others wrote: libmodbus. usage: libmodbus-server DEVICE UNIT_ID
 * Its tables of 200 cells each: register N is 1000 + N (holding) or 2000 + N (input); bit N is set where
 * N is divisible by 3 (coil) or by 5 (discrete). Serves until it is killed. */
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { cells = 200 };

int main(int argc, char **argv)
{
    if (argc != 3) return 64;
    modbus_t *line = modbus_new_rtu(argv[1], 19200, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(cells, cells, cells, cells);
    if (line == NULL || map == NULL) return 70;
    for (int n = 0; n < cells; n++) {
        map->tab_registers[n] = 1000 + n;
        map->tab_input_registers[n] = 2000 + n;
        map->tab_bits[n] = n % 3 == 0;
        map->tab_input_bits[n] = n % 5 == 0;
    }
    modbus_set_slave(line, atoi(argv[2]));
    if (modbus_connect(line) == -1) {
        perror(argv[1]);
        return 74;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
        int length = modbus_receive(line, request);
        if (length > 0) modbus_reply(line, request, length, map);
    }
}
