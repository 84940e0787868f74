"""A Modbus server that others wrote: pymodbus, over TCP or RTU.

usage: pymodbus-server.py tcp PORT | rtu DEVICE     (the registers come as JSON on standard input)

{"1": {"holding": {"0": [1, 2]}, "input": {}, "coil": {"0": [1, 0, 1]}, "discrete": {}}}
maps unit ids to tables to blocks of cells by zero-based address.
"""
import asyncio
import json
import sys

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer


def block(cells):
    values = {}
    for address, run in cells.items():
        for offset, value in enumerate(run):
            values[int(address) + offset] = value
    return ModbusSparseDataBlock(values or {70000: 0})


def unit(tables):
    return ModbusSlaveContext(
        di=block(tables.get("discrete", {})),
        co=block(tables.get("coil", {})),
        hr=block(tables.get("holding", {})),
        ir=block(tables.get("input", {})),
        zero_mode=True,
    )


async def main():
    kind, where = sys.argv[1:3]
    units = {int(unit_id): unit(tables) for unit_id, tables in json.load(sys.stdin).items()}
    context = ModbusServerContext(slaves=units, single=False)
    if kind == "tcp":
        await StartAsyncTcpServer(context=context, address=("127.0.0.1", int(where)))
    else:
        await StartAsyncSerialServer(
            context=context, framer=ModbusRtuFramer, port=where, baudrate=19200, parity="N", timeout=0.02
        )


asyncio.run(main())
