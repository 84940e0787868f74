"""A pymodbus server for unit 1: pymodbus-server.py tcp|rtu-over-tcp|udp IMAGE | rtu|ascii PATH IMAGE

IMAGE is a file of lines `table address hex`, four hex digits a register, two a bit.
Prints `ready PORT` (or `ready`) when it listens.
"""

import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.framer.ascii_framer import ModbusAsciiFramer
from pymodbus.framer.rtu_framer import ModbusRtuFramer
from pymodbus.framer.socket_framer import ModbusSocketFramer
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer


def read_image(path):
    blocks = {"coil": ModbusSequentialDataBlock(0, [0]), "discrete": ModbusSequentialDataBlock(0, [0]),
              "input": ModbusSequentialDataBlock(0, [0]), "holding": ModbusSequentialDataBlock(0, [0])}
    for line in open(path, encoding="ascii"):
        table, address, digits = line.split()
        width = 2 if table in ("coil", "discrete") else 4
        values = [int(digits[at:at + width], 16) for at in range(0, len(digits), width)]
        blocks[table] = ModbusSequentialDataBlock(int(address), values)
    return ModbusSlaveContext(co=blocks["coil"], di=blocks["discrete"], ir=blocks["input"],
                              hr=blocks["holding"], zero_mode=True)


async def main():
    mode, *rest = sys.argv[1:]
    context = ModbusServerContext(slaves={1: read_image(rest[-1])}, single=False)
    identity = ModbusDeviceIdentification(info_name={
        "VendorName": "Interop", "ProductCode": "PM3", "MajorMinorRevision": "3.0"})
    if mode in ("rtu", "ascii"):
        framer = ModbusRtuFramer if mode == "rtu" else ModbusAsciiFramer
        server = ModbusSerialServer(context, framer, identity, port=rest[0], baudrate=19200,
                                    bytesize=8, parity="N", stopbits=1)
        await server.start()
        print("ready", flush=True)
        await server.serve_forever()
        return
    if mode == "udp":
        server = ModbusUdpServer(context, ModbusSocketFramer, identity, address=("127.0.0.1", 0))
        serving = asyncio.ensure_future(server.serve_forever())
        await server.serving
        print("ready", server.protocol.get_extra_info("sockname")[1], flush=True)
        await serving
        return
    framer = ModbusRtuFramer if mode == "rtu-over-tcp" else ModbusSocketFramer
    server = ModbusTcpServer(context, framer, identity, address=("127.0.0.1", 0), allow_reuse_address=True)
    serving = asyncio.ensure_future(server.serve_forever())
    await server.serving
    print("ready", server.server.sockets[0].getsockname()[1], flush=True)
    await serving


asyncio.run(main())
